#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "train/math/optimizer.h"

namespace tessera::train {

// A folder checkpoints/step-0000100 of a run:
//   adapters.safetensors, adapter_config.json (lora) or model.safetensors
//   (full) optimizer.safetensors   "m.<parameter>" and "v.<parameter>"
//   state.json              {"step", "identity", "interval"}
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
};

// Written under another name, synced, renamed: a folder that has its name is
// whole. Returns it.
std::filesystem::path save_checkpoint(
    const std::filesystem::path& run_folder,
    const Checkpoint& checkpoint,
    const CheckpointKind& kind);

// The one with the most steps.
std::optional<std::filesystem::path> newest_checkpoint(
    const std::filesystem::path& run_folder);

// InputError where a file is damaged, or where the identity differs from
// `identity`: names the first difference.
Checkpoint load_checkpoint(
    const std::filesystem::path& folder,
    const nlohmann::json& identity,
    const CheckpointKind& kind);

// Removes all but the newest `keep`, and what an interrupted save left.
void prune_checkpoints(const std::filesystem::path& run_folder, int keep);

} // namespace tessera::train
