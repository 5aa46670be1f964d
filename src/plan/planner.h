#pragma once

#include "plan/plan.h"

namespace tessera {

// The plan preferred for a problem. `block_size` sets both sides of a block; 0
// leaves them to the planner. The answer depends on the arguments alone.
Planned make_plan(
    const Problem& problem, const Device& device, int block_size = 0);

} // namespace tessera
