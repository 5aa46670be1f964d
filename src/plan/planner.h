#pragma once

#include <vector>

#include "plan/plan.h"

namespace tessera {

// The sides of a block of the score matrix.
struct Blocks {
  int rows = 0;
  int columns = 0;

  bool operator==(const Blocks&) const = default;
};

// The blocks worth measuring for a problem: legal ones, the planner's choice
// first.
std::vector<Blocks> candidates(const Problem& problem, const Device& device);

// The plan with these blocks, or why there is none. Few queries are split over
// the keys all the same: no block of theirs is filled.
Planned make_plan(const Problem& problem, const Device& device, Blocks blocks);

// The plan preferred for a problem. `block_size` sets both sides of a block, of
// few queries too; 0 leaves them to the planner.
// The answer depends on the arguments alone.
Planned make_plan(
    const Problem& problem, const Device& device, int block_size = 0);

} // namespace tessera
