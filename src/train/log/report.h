#pragma once

#include <filesystem>

namespace tessera::train {

// report.html of a run folder from its config.json and metrics.jsonl: one file
// that needs no network. `status` is "running", "finished" or "interrupted".
void write_report(
    const std::filesystem::path& run_folder, std::string_view status);

} // namespace tessera::train
