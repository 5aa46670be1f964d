#pragma once

#include "plan/metal/plan.h"

namespace tessera::metal {

// Queries for which the rows of a tile are taken from all heads that share a
// key head, and the keys in runs.
constexpr int few_queries = 16;

// The plan preferred for a kernel. `block_size`, where not 0, sets the rows of
// a threadgroup and the columns of a tile. The answer depends on the arguments
// alone, and on the lengths only by whether the queries are few.
Planned make_plan(
    const Problem& problem, Pass pass, Family family, int block_size = 0);

} // namespace tessera::metal
