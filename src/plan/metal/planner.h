#pragma once

#include <vector>

#include "plan/metal/plan.h"
#include "plan/planner.h"

namespace tessera::metal {

// Queries for which the rows of a tile are taken from all heads that share a
// key head, and many keys in runs.
constexpr int few_queries = 16;

constexpr bool packs_rows(const Problem& problem) {
  return problem.Nq <= few_queries;
}

// Queries up to which a forward pass takes threadgroups of half the rows.
constexpr int short_queries = 32;

// The plan preferred for a kernel. `block_size`, where not 0, sets the rows of
// a threadgroup and the columns of a tile. The answer depends on the arguments
// alone, and on the lengths only by whether the queries are few or short.
Planned make_plan(
    const Problem& problem, Pass pass, Family family, int block_size = 0);

// What was measured best for a call's passes; what is 0 is the planner's. Those
// of `backward` are dq's, and dkv's where it can take them; what the planner
// takes for dq by itself stands for its choice for dkv too.
struct Tiles {
  Blocks forward{};
  Blocks backward{};

  bool operator==(const Tiles&) const = default;
};

// The plan with these tiles where there is one, else the planner's.
Planned tuned_plan(
    const Problem& problem, Pass pass, Family family, const Tiles& tiles);

// The tiles worth measuring for the pass of a problem, forward or backward:
// those of legal plans, the planner's choice first.
std::vector<Blocks> candidates(const Problem& problem, Family family);

} // namespace tessera::metal
