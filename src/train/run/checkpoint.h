#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/math/optimizer.h"

namespace tessera::train {

// A folder checkpoints/step-0000100 of a run:
//   adapters.safetensors, adapter_config.json (lora) or model.safetensors
//   (full) optimizer.safetensors   "m.<parameter>" and "v.<parameter>"
//   state.json              {"step", "identity", "interval"}, "files" with the
//                           digest of each other file, and its own "digest"
// All else follows from the step and the options: the order of the data and the
// keys of dropout are functions of seed and step.
struct Checkpoint {
  Trained state;
  nlohmann::json identity;
  nlohmann::json interval;
};

// Whose weights a checkpoint holds; lora absent: all of the model's.
struct CheckpointKind {
  const ModelConfig& model;
  std::optional<LoraConfig> lora;
  BaseModel base = {}; // of an adapter
};

// Written under another name, synced, renamed: a folder that has its name was
// whole then. Returns it. WriteError where that cannot be; nothing is left of
// the attempt.
std::filesystem::path save_checkpoint(
    const std::filesystem::path& run_folder,
    const Checkpoint& checkpoint,
    const CheckpointKind& kind);

// All, those with the fewest steps first.
std::vector<std::filesystem::path> checkpoints(
    const std::filesystem::path& run_folder);
std::optional<std::filesystem::path> newest_checkpoint(
    const std::filesystem::path& run_folder);

// What of a checkpoint is not as it was saved, "optimizer.safetensors is
// missing"; empty where all is.
std::string damage_of(const std::filesystem::path& folder);

// Gives a damaged checkpoint a name under which it does not count. Returns it.
std::filesystem::path set_aside(const std::filesystem::path& folder);

// InputError that names the first difference, where there is one; `folder` is
// where `saved` comes from.
void check_identity(
    const nlohmann::json& saved,
    const nlohmann::json& now,
    const std::filesystem::path& folder);

// Of a checkpoint without damage. InputError where its identity differs from
// `identity`.
Checkpoint load_checkpoint(
    const std::filesystem::path& folder,
    const nlohmann::json& identity,
    const CheckpointKind& kind);

// Removes all but the newest `keep` (0: none of them), and what an interrupted
// save left.
void prune_checkpoints(const std::filesystem::path& run_folder, int keep);

} // namespace tessera::train
