#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/table.h"
#include "tessera/case.h"

namespace tessera {

struct TuneOptions {
  std::vector<AttentionCase> cases;
  bool forward = true;
  bool backward = true;
  int rounds = 5;
};

// One problem that was tuned.
struct TunedPass {
  AttentionCase attention;
  std::string pass;
  TableEntry best;
  int candidates = 0;
  double seconds = 0;         // of the best
  double planned_seconds = 0; // of what the planner takes by itself
  std::optional<double> mlx_seconds;
};

// Measures every candidate of each case's passes through `attention` on this
// machine, and MLX's own op, and returns what it found. While it runs, the
// table in use is its own; afterwards it is `table` with what was found. No
// other call of `attention` may run meanwhile.
Table tune(
    Table table,
    const TuneOptions& options,
    const std::function<void(const TunedPass&)>& tuned,
    const std::function<bool()>& should_stop);

} // namespace tessera
