#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace tessera::train {

// TensorBoard's event files: TFRecords (length, its masked CRC-32C, bytes,
// their masked CRC-32C), each a protocol buffer `Event` as
// tensorflow/core/util/event.proto has it, of which four fields are needed.

double now(); // seconds since 1970

// What a file begins with: its version, and the start of a session at `step`,
// which makes a reader drop what other files have of that step and later ones.
std::string first_events(double wall_time, std::int64_t step);

// The numbers of a line of metrics.jsonl, as scalars "train/loss",
// "valid/perplexity" and so on.
std::string event_of(const nlohmann::json& line, double wall_time);

// Starts a new file in `folder` and returns it. Its name sorts behind those of
// the files that are there.
std::filesystem::path begin_events(
    const std::filesystem::path& folder, std::int64_t step);

} // namespace tessera::train
