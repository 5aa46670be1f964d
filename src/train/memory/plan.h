#pragma once

#include "train/memory/predict.h"

namespace tessera::train {

// Recomputes as few layers as `checkpoint` allows for 80 % of `available` bytes
// (0: not known, and nothing is recomputed on its account).
MemoryPlan decide_memory(
    MemoryShape shape,
    const GradCheckpoint& checkpoint,
    std::int64_t available);

// InputError that names the flags with which the run would fit, where it does
// not.
void check_memory(const MemoryShape& shape, const MemoryPlan& plan);

} // namespace tessera::train
