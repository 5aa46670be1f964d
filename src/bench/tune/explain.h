#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "plan/planner.h"
#include "tessera/bench.h"

namespace tessera {

struct PassExplanation {
  Problem problem;
  Planned planned;
  std::size_t workspace_bytes = 0; // of a plan
  bool tuned = false;              // the block sizes are from the saved table
  std::string not_tuned = "";      // why not, where the table has some
};

struct Explanation {
  Choice choice;
  std::vector<PassExplanation> passes; // none where MLX's op is taken
};

// Which implementation a call takes, and how ours would compute it. Reads the
// table in use. Throws InputError where the call is refused.
Explanation explain(const AttentionCase& c);
Explanation explain(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s = {});

} // namespace tessera
