#pragma once

#include <string>
#include <vector>

#include "backend/metal/launch.h"
#include "backend/metal/split.h"
#include "kernel/numbers.h"
#include "kernel/operand.h"
#include "plan/metal/planner.h"

namespace tessera::metal {

// All that decides what is launched.
struct Call {
  Problem problem; // its pass is not read
  Numbers numbers;
  // Inputs by the letters of their operands: element and shape. Backward, O, L,
  // dO and dL too.
  std::vector<Array> arrays;
  Family family = Family::m1;
  int block_size = 0;              // 0: the plan's own
  Tiles tiles{};                   // measured ones
  double seconds = launch_seconds; // of a launch
};

// The letter of an operand in the kernels: D for what the CPU's kernels call E.
std::string letter(Operand operand);

// The plan of one kernel of a call.
Planned plan_for(const Call& call, Pass pass);

// Whether the forward pass takes its keys in several runs, which `combine`
// joins.
bool takes_runs(const Call& call);

} // namespace tessera::metal
