#include "train/memory/plan.h"

#include <algorithm>
#include <functional>

#include "tessera/error.h"
#include "train/memory/machine.h"

namespace tessera::train {

namespace {

// What a run aims at, of what is there: the prediction may be short by a few
// parts in a hundred, and others use the machine too.
constexpr double aim = 0.8;

std::int64_t peak_with(MemoryShape shape, int recomputed) {
  shape.recomputed_layers = recomputed;
  return predict_memory(shape).peak();
}

int recomputed_layers(
    const MemoryShape& shape,
    const GradCheckpoint& checkpoint,
    std::int64_t available) {
  const int layers = shape.model.num_hidden_layers;
  switch (checkpoint.kind) {
    case GradCheckpoint::Kind::off:
      return 0;
    case GradCheckpoint::Kind::all:
      return layers;
    case GradCheckpoint::Kind::layers:
      return std::min(checkpoint.layers, layers);
    case GradCheckpoint::Kind::automatic:
      break;
  }
  if (available == 0) {
    return 0;
  }
  const auto goal =
      static_cast<std::int64_t>(aim * static_cast<double>(available));
  int best = 0;
  for (int n = 0; n <= layers; ++n) {
    const auto peak = peak_with(shape, n);
    if (peak <= goal) {
      return n;
    }
    best = peak < peak_with(shape, best) ? n : best;
  }
  return best;
}

bool fits(
    const MemoryShape& shape,
    const GradCheckpoint& checkpoint,
    std::int64_t available) {
  return peak_with(shape, recomputed_layers(shape, checkpoint, available)) <=
      available;
}

// The largest n in [0, most] with ok(n), ok being true up to some n.
std::int64_t largest(
    std::int64_t most, const std::function<bool(std::int64_t)>& ok) {
  std::int64_t low = 0;
  for (std::int64_t high = most; low < high;) {
    const auto middle = low + (high - low + 1) / 2;
    if (ok(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

constexpr std::int64_t most_rows = 1 << 16;

std::int64_t rows_that_fit(
    MemoryShape shape,
    const GradCheckpoint& checkpoint,
    std::int64_t available) {
  return largest(most_rows, [&](std::int64_t rows) {
    shape.rows = rows;
    return fits(shape, checkpoint, available);
  });
}

std::int64_t columns_that_fit(
    MemoryShape shape,
    const GradCheckpoint& checkpoint,
    std::int64_t available) {
  const std::int64_t most = shape.model.max_position_embeddings;
  return largest(std::max(most, shape.columns), [&](std::int64_t columns) {
    shape.columns = columns;
    return fits(shape, checkpoint, available);
  });
}

} // namespace

MemoryPlan decide_memory(
    MemoryShape shape,
    const GradCheckpoint& checkpoint,
    std::int64_t available) {
  shape.recomputed_layers = recomputed_layers(shape, checkpoint, available);
  MemoryPlan plan;
  plan.predicted = predict_memory(shape);
  plan.available = available;
  plan.layers = shape.model.num_hidden_layers;
  plan.recomputed_layers = shape.recomputed_layers;
  plan.rows = shape.rows;
  plan.columns = shape.columns;
  if (available > 0) {
    plan.most_rows = rows_that_fit(shape, checkpoint, available);
    plan.most_columns = columns_that_fit(shape, checkpoint, available);
  }
  return plan;
}

void check_memory(const MemoryShape& shape, const MemoryPlan& plan) {
  if (plan.fits()) {
    return;
  }
  std::vector<std::string> remedies;
  const GradCheckpoint all{GradCheckpoint::Kind::all, 0};
  if (fits(shape, all, plan.available)) {
    remedies.push_back("--grad-checkpoint all");
  }
  if (const auto rows = rows_that_fit(shape, all, plan.available); rows > 0) {
    if (rows < shape.rows) {
      remedies.push_back(fmt::format("--batch-size {}", rows));
    }
  }
  if (const auto columns = columns_that_fit(shape, all, plan.available);
      columns > 1 && columns < shape.columns) {
    remedies.push_back(
        fmt::format("--max-seq-length {} (and --long split)", columns));
  }
  reject(
      "finetune",
      "expected a run that fits into {:.2f} GiB; got a predicted peak of "
      "{:.2f} GiB for batches of {} x {} tokens, {} of {} layers recomputed; "
      "{}",
      gib(plan.available),
      gib(plan.predicted.peak()),
      plan.rows,
      plan.columns,
      plan.recomputed_layers,
      plan.layers,
      remedies.empty() ? "no batch of this model fits; raise --max-memory, or "
                         "take a smaller "
                         "model"
                       : "it would fit with " +
              fmt::format("{}", fmt::join(remedies, ", or ")));
}

} // namespace tessera::train
