#include "train/memory/shape.h"

#include <algorithm>
#include <thread>

#include "train/memory/machine.h"
#include "train/options.h"

namespace tessera::train {

namespace {

struct LargestBatch {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

// Other epochs may put the longest documents together: every row counts as the
// longest.
LargestBatch largest_batch(
    const Dataset& data, const FinetuneOptions& options) {
  if (data.documents.empty()) {
    return {};
  }
  BatchOrder order(data, batch_shape(options), options.seed);
  LargestBatch largest;
  for (std::uint64_t k = 0; k < order.batches_per_epoch(); ++k) {
    const Rows& rows = order.batch(k);
    largest.rows =
        std::max(largest.rows, static_cast<std::int64_t>(rows.size()));
    largest.columns =
        std::max<std::int64_t>(largest.columns, make_batch(data, rows).columns);
  }
  return largest;
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
  shape.fused = mx::default_device() == mx::Device::cpu &&
      run.network.dtype == mx::float32;
  const LargestBatch trained = largest_batch(run.train, options);
  shape.rows = std::max<std::int64_t>(1, trained.rows);
  shape.columns = std::max<std::int64_t>(1, trained.columns);
  for (const Dataset* data : {&run.valid, &run.test}) {
    const LargestBatch batch = largest_batch(*data, options);
    shape.evaluated_tokens =
        std::max(shape.evaluated_tokens, batch.rows * batch.columns);
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
