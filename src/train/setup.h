#pragma once

#include <nlohmann/json.hpp>

#include "train/run/checkpoint.h"
#include "train/trainer.h"

namespace tessera::train {

// A run with everything read and checked, before anything is written.
struct Run {
  FinetuneOptions options; // nothing left to be decided
  Network network;
  BaseModel base; // of an adapter
  Trained state;  // as the run begins, or as the checkpoint has it
  Dataset train;
  Dataset valid; // empty: none
  Dataset test;
  RunPlan plan;
  // What a resumed run must share with the one that wrote the checkpoint.
  nlohmann::json identity;
  // Checkpoints newer than the one resumed from, which cannot be read.
  std::vector<std::filesystem::path> damaged;
  std::filesystem::path events; // what TensorBoard reads; empty: none
  // Of the machine, by the network's dtype; with profile_attention.
  std::optional<double> peak_flops;
  // Sums since the last line of metrics.jsonl, where the checkpoint broke off.
  nlohmann::json interval;
};

CheckpointKind kind_of(const Run& run);

// InputError, one line, on whatever does not fit.
Run prepare(const FinetuneOptions& options);

} // namespace tessera::train
