#pragma once

#include <cstdint>
#include <optional>

#include "tessera/finetune.h"

namespace tessera::train {

// What the memory of a run depends on.
struct MemoryShape {
  ModelConfig model;
  std::optional<LoraConfig> lora; // absent: every parameter is trained
  std::int64_t element = 4;       // bytes of a weight or activation
  bool fused = true;              // ours on the CPU, in float32
  // Of the largest training batch, and of the largest that is evaluated.
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::int64_t evaluated_tokens = 0;
  int batches = 1; // of an update
  int recomputed_layers = 0;
  std::int64_t loss_bytes = 0; // of logits held at once
  std::int64_t base = 0;       // of the process before weights are read
  std::int64_t cache = 0;      // that the device keeps back
  int threads = 1;

  std::int64_t tokens() const {
    return rows * columns;
  }
};

MemoryPrediction predict_memory(const MemoryShape& shape);

} // namespace tessera::train
