#include "train/math/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tessera/error.h"

namespace tessera::train {

double learning_rate(
    const LearningRateSchedule& schedule, double peak, int i, int updates) {
  using Kind = LearningRateSchedule::Kind;
  double bottom = schedule.final_rate;
  if (i < schedule.warmup) {
    return peak * (i + 1) / (schedule.warmup + 1);
  }
  int falling = std::max(1, updates - schedule.warmup);
  double progress = std::min(1.0, double(i - schedule.warmup) / falling);
  switch (schedule.kind) {
    case Kind::constant:
      return peak;
    case Kind::linear:
      return peak + (bottom - peak) * progress;
    case Kind::cosine:
      return bottom +
          (peak - bottom) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  fail("schedule", "expected a known kind; got {}", int(schedule.kind));
}

} // namespace tessera::train
