#include "plan/planner.h"

#include <algorithm>

#include "plan/rules.h"
#include "plan/workspace.h"

namespace tessera {

namespace {

// Candidates for the two sides, in panels of queries and units of keys,
// preferred first. Larger stationary blocks pack the other operand less often;
// longer traversal blocks load and store the sums less often, but leave the
// first-level cache.
constexpr Blocks forward_blocks[] = {
    {4, 6},
    {4, 4},
    {8, 6},
    {4, 8},
    {2, 4},
    {1, 4},
    {1, 2},
};
constexpr Blocks backward_blocks[] = {
    {2, 16},
    {4, 8},
    {2, 8},
    {4, 16},
    {2, 4},
    {1, 4},
    {1, 2},
};

Plan plan_of(const Problem& problem, const Device& device, Blocks blocks) {
  Plan plan;
  plan.pass = problem.pass;
  plan.isa = device.isa;
  plan.rows = blocks.rows;
  plan.columns = blocks.columns;
  return plan;
}

// Waking a thread takes about as long as 2e6 operations on one core.
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

std::vector<Blocks> all_blocks(const Problem& problem, const Device& device) {
  const auto tile = register_tile(device.isa);
  const auto scaled = [&](const auto& table) {
    std::vector<Blocks> blocks;
    for (const auto b : table) {
      blocks.push_back({b.rows * tile.panel(), b.columns * tile.unit()});
    }
    return blocks;
  };
  return problem.pass == Pass::forward ? scaled(forward_blocks)
                                       : scaled(backward_blocks);
}

// The first blocks that fit the second-level cache, else the smallest.
Blocks preferred(const Problem& problem, const Device& device) {
  Blocks choice;
  for (const auto blocks : all_blocks(problem, device)) {
    choice = blocks;
    const Plan plan = plan_of(problem, device, blocks);
    if (!why_not(problem, plan, device) &&
        workspace(problem, plan).bytes() <= device.l2_bytes) {
      break;
    }
  }
  return choice;
}

} // namespace

std::vector<Blocks> candidates(const Problem& problem, const Device& device) {
  std::vector<Blocks> legal = {preferred(problem, device)};
  for (const auto blocks : all_blocks(problem, device)) {
    if (blocks != legal.front() &&
        !why_not(problem, plan_of(problem, device, blocks), device)) {
      legal.push_back(blocks);
    }
  }
  return legal;
}

Planned make_plan(const Problem& problem, const Device& device, Blocks blocks) {
  Plan plan = plan_of(problem, device, blocks);
  if (auto refusal = why_not(problem, plan, device)) {
    return *refusal;
  }
  plan.threads = preferred_threads(problem, plan, device);
  return plan;
}

Planned make_plan(
    const Problem& problem, const Device& device, int block_size) {
  if (block_size == 0) {
    return make_plan(problem, device, preferred(problem, device));
  }
  return make_plan(problem, device, Blocks{block_size, block_size});
}

} // namespace tessera
