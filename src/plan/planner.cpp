#include "plan/planner.h"

#include <algorithm>

#include "plan/rules.h"
#include "plan/workspace.h"

namespace tessera {

namespace {

// Candidates for the two sides, preferred first. Larger stationary blocks pack
// the other operand less often; a traversal block longer than 192 no longer
// leaves both factors of an accumulation in a 48 KiB L1.
struct Sides {
  int stationary;
  int traversal;
};
constexpr Sides candidates[] = {
    {192, 192},
    {192, 96},
    {96, 96},
    {96, 48},
    {48, 48},
    {48, 16},
    {16, 16},
};

Plan plan_of(const Problem& problem, const Device& device, Sides sides) {
  Plan plan;
  plan.pass = problem.pass;
  plan.isa = device.isa;
  plan.rows = problem.by_rows() ? sides.stationary : sides.traversal;
  plan.columns = problem.by_rows() ? sides.traversal : sides.stationary;
  return plan;
}

// Starting a thread takes about as long as 2e6 operations on one core.
constexpr double operations_worth_a_thread = 4e6;

int preferred_threads(
    const Problem& problem, const Plan& plan, const Device& device) {
  const double heads = static_cast<double>(problem.B) * problem.Hq;
  const double operations = heads * problem.Nq * problem.Nk *
      (problem.D + problem.Dv) * products(problem.pass);
  const int blocks =
      (problem.stationary_length() + plan.stationary() - 1) / plan.stationary();
  const double items =
      static_cast<double>(problem.B) * problem.stationary_heads() * blocks;
  const double worth = std::min(
      {static_cast<double>(device.threads),
       items,
       operations / operations_worth_a_thread});
  return std::max(1, static_cast<int>(worth));
}

// The first candidate that fits the second-level cache, else the smallest.
Plan preferred(const Problem& problem, const Device& device) {
  Plan plan;
  for (const auto sides : candidates) {
    plan = plan_of(problem, device, sides);
    if (!why_not(problem, plan, device) &&
        workspace(problem, plan).bytes() <= device.l2_bytes) {
      break;
    }
  }
  return plan;
}

} // namespace

Planned make_plan(
    const Problem& problem, const Device& device, int block_size) {
  Plan plan = block_size == 0
      ? preferred(problem, device)
      : plan_of(problem, device, {block_size, block_size});
  if (auto refusal = why_not(problem, plan, device)) {
    return *refusal;
  }
  plan.threads = preferred_threads(problem, plan, device);
  return plan;
}

} // namespace tessera
