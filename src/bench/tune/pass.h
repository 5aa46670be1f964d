#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "bench/contender.h"
#include "bench/tune/tune.h"
#include "plan/planner.h"

namespace tessera::bench {

// The device that is tuned: blocks of a problem that are worth measuring there,
// the planner's first, and what the table knows the problem by.
struct TuneTarget {
  std::function<std::vector<Blocks>(const Problem&)> candidates;
  std::function<TableKey(const Problem&)> key;
};

// MLX's default device: the processor, or an Apple GPU.
TuneTarget this_target();

// One pass of one case, and who is timed.
struct TuneSubject {
  const AttentionCase& attention;
  Pass pass;
  const TuneTarget& target;
  Contender& ours;
  Contender& mlx;
};

// Measures the candidates, each with a table of `base` and its entry in use:
// what is timed is what a user gets. Nothing where no candidate can be run, or
// it was stopped.
std::optional<TunedPass> tune_pass(
    const TuneSubject& subject,
    const Table& base,
    int rounds,
    const std::function<bool()>& should_stop);

} // namespace tessera::bench
