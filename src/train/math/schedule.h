#pragma once

#include "tessera/finetune.h"

namespace tessera::train {

// The rate of update `i`, from 0, of `updates`; see LearningRateSchedule.
double learning_rate(
    const LearningRateSchedule& schedule, double peak, int i, int updates);

} // namespace tessera::train
