#include "train/memory/shape.h"

#include <algorithm>
#include <thread>

#include "ops/ours.h"
#include "train/memory/machine.h"
#include "train/options.h"

namespace tessera::train {

namespace {

EpochSize epoch_of(const Dataset& data, const FinetuneOptions& options) {
  return data.documents.empty()
      ? EpochSize{}
      : BatchOrder(data, batch_shape(options), options.seed).size();
}

} // namespace

MemoryShape memory_shape(const Run& run) {
  const FinetuneOptions& options = run.options;
  MemoryShape shape;
  shape.model = run.network.config;
  if (options.fine_tune_type == FineTuneType::lora) {
    shape.lora = options.lora;
  }
  shape.element = static_cast<std::int64_t>(mx::size_of(run.network.dtype));
  shape.fused = ops::is_ours(run.network.dtype);
  // Other epochs may put the longest documents together: every row counts as
  // the longest.
  const EpochSize trained = epoch_of(run.train, options);
  shape.rows = std::max<std::int64_t>(1, trained.most_rows);
  shape.columns = std::max<std::int64_t>(1, trained.most_columns);
  for (const Dataset* data : {&run.valid, &run.test}) {
    const EpochSize size = epoch_of(*data, options);
    shape.evaluated_tokens =
        std::max(shape.evaluated_tokens, size.most_rows * size.most_columns);
  }
  shape.batches = options.grad_accumulation_steps;
  shape.loss_bytes = run.network.loss_bytes;
  shape.base = held_memory();
  shape.cache = cached_memory();
  shape.threads =
      static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return shape;
}

} // namespace tessera::train
