#pragma once

#include "metal/executor.h"
#include "plan/metal/cost.h"
#include "plan/metal/plan.h"

namespace tessera::bench {

// What a launch of `plan` over `along` keys, or queries in dkv, does in the
// executor: one threadgroup of full rows, one head, no mask.
metal::Counts count_launch(const metal::Plan& plan, int along);

// Of one more 8 x 8 block of scores: two launches, of which one runs along
// twice as many tiles, differ by nothing but tiles, so that what is done once a
// threadgroup falls out.
metal::Cost count(const metal::Plan& plan);

} // namespace tessera::bench
