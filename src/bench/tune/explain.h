#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check/arrays.h"
#include "plan/metal/device.h"
#include "plan/planner.h"
#include "tessera/kernel.h"

namespace tessera {

// A pass of the CPU's kernels.
struct PassExplanation {
  Problem problem;
  Planned planned;
  std::size_t workspace_bytes = 0; // of a plan
  bool tuned = false;              // the block sizes are from the saved table
  std::string not_tuned = "";      // why not, where the table has some
};

// A kernel of an Apple GPU.
struct KernelExplanation {
  std::string kernel; // "forward", "dq", ...
  std::vector<PlanFact> plan;
  bool tuned = false;
};

struct Explanation {
  Choice choice;
  // How ours would compute it; none where MLX's op is taken.
  std::vector<PassExplanation> passes;
  std::vector<KernelExplanation> kernels;
};

// Which implementation a call takes, and how ours would compute it. Reads the
// table in use. `family`: as on such a GPU, which need not be there. Throws
// InputError where the call is refused.
Explanation explain(
    const AttentionCase& c, std::optional<metal::Family> family = std::nullopt);
Explanation explain(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s = {});

// How ours would compute a call on a stream's device, whatever is preferred.
Explanation explain_ours(const cases::Arrays& arrays, mx::Stream stream);

// "forward", "backward" or "dbias".
std::string name_of(Pass pass);

// A plan in a line.
std::string line_of(const PassExplanation& pass);
std::string line_of(const KernelExplanation& kernel);

} // namespace tessera
