#include "plan/planner.h"

#include <algorithm>
#include <optional>

#include "plan/rules.h"
#include "plan/workspace.h"

namespace tessera {

namespace {

// Candidates for the two sides, in panels of queries and units of keys,
// preferred first. The stationary side decides how often the other operand is
// packed: 768 rows of a forward pass take 0.93 of the time of 192. The other
// side is what leaves a tile and the panel it meets in the first-level cache.
constexpr Blocks forward_blocks[] = {
    {16, 8},
    {8, 8},
    {4, 8},
    {2, 8},
    {1, 8},
    {1, 4},
    {1, 2},
};
constexpr Blocks backward_blocks[] = {
    {2, 32},
    {2, 16},
    {2, 8},
    {2, 4},
    {1, 4},
    {1, 2},
};

// Work items that a pass should have at least. A number of its own, and not of
// the threads: bits depend on the blocks, and must not depend on the threads.
constexpr int items_wanted(Pass pass) {
  return pass == Pass::forward ? 16 : 8;
}

// Queries for which the loop for few of them is the faster one, where tiles of
// the other would be empty for the most part.
constexpr int few_queries = 16;

bool has_few_queries(const Problem& problem) {
  return problem.pass == Pass::forward && problem.Nq > 0 &&
      problem.Nq <= few_queries && problem.Nk > 0;
}

// AMX multiplies bfloat16 alone, and few queries are bound by memory.
Isa isa_for(const Problem& problem, const Device& device) {
  const bool plain =
      problem.dtype != Dtype::bfloat16 || has_few_queries(problem);
  return device.isa == Isa::amx && plain ? Isa::avx512 : device.isa;
}

Plan plan_of(const Problem& problem, const Device& device, Blocks blocks) {
  Plan plan;
  plan.pass = problem.pass;
  plan.isa = isa_for(problem, device);
  plan.rows = blocks.rows;
  plan.columns = blocks.columns;
  return plan;
}

// Waking a thread takes about as long as 2e6 operations on one core.
constexpr double operations_worth_a_thread = 4e6;

double items_of(const Problem& problem, const Plan& plan) {
  const int blocks =
      (problem.stationary_length() + plan.stationary() - 1) / plan.stationary();
  return static_cast<double>(problem.B) * problem.stationary_heads() * blocks;
}

int preferred_threads(
    const Problem& problem, const Plan& plan, const Device& device) {
  const double heads = static_cast<double>(problem.B) * problem.Hq;
  const double operations = heads * problem.Nq * problem.Nk *
      (problem.D + problem.Dv) * products(problem.pass);
  const double worth = std::min(
      {static_cast<double>(device.threads),
       items_of(problem, plan),
       operations / operations_worth_a_thread});
  return std::max(1, static_cast<int>(worth));
}

// Keys of a run: enough runs that the last ones end together, none of less than
// 512 keys.
int preferred_split(const Problem& problem) {
  constexpr int unit = 512;
  const int heads = std::max(1, problem.B * problem.Hkv);
  const int runs = (4 * items_wanted(Pass::forward) + heads - 1) / heads;
  return std::max(unit, round_up((problem.Nk + runs - 1) / runs, unit));
}

// Few queries are bound by memory: a thread is worth 64 Ki numbers to read.
int threads_for_few(const Problem& problem, const Device& device) {
  const double numbers = static_cast<double>(problem.B) * problem.Hkv *
      problem.Nk * (problem.D + problem.Dv);
  return std::max(
      1, static_cast<int>(std::min<double>(device.threads, numbers / 65536)));
}

std::vector<Blocks> all_blocks(const Problem& problem, const Device& device) {
  const auto tile = register_tile(isa_for(problem, device));
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

// The first blocks that fit the second-level cache, with room for what passes
// by, and leave enough items, or the most items; the smallest where none fits.
Blocks preferred(const Problem& problem, const Device& device) {
  std::optional<Blocks> choice;
  double most = 0;
  const auto all = all_blocks(problem, device);
  for (const auto blocks : all) {
    const Plan plan = plan_of(problem, device, blocks);
    const bool fits = !why_not(problem, plan, device) &&
        workspace(problem, plan).bytes() <= device.l2_bytes / 8 * 7;
    const double items = items_of(problem, plan);
    if (fits && (!choice || items > most)) {
      choice = blocks;
      most = items;
    }
    if (fits && items >= items_wanted(problem.pass)) {
      break;
    }
  }
  return choice.value_or(all.back());
}

// The loop over blocks.
Planned plan_with_blocks(
    const Problem& problem, const Device& device, Blocks blocks) {
  Plan plan = plan_of(problem, device, blocks);
  if (auto refusal = why_not(problem, plan, device)) {
    return *refusal;
  }
  plan.threads = preferred_threads(problem, plan, device);
  return plan;
}

} // namespace

std::vector<Blocks> candidates(const Problem& problem, const Device& device) {
  std::vector<Blocks> legal = {preferred(problem, device)};
  if (has_few_queries(problem)) {
    return legal; // blocks are all one to them
  }
  for (const auto blocks : all_blocks(problem, device)) {
    if (blocks != legal.front() &&
        !why_not(problem, plan_of(problem, device, blocks), device)) {
      legal.push_back(blocks);
    }
  }
  return legal;
}

Planned make_plan(const Problem& problem, const Device& device, Blocks blocks) {
  auto planned = plan_with_blocks(problem, device, blocks);
  auto* plan = std::get_if<Plan>(&planned);
  if (plan != nullptr && has_few_queries(problem)) {
    plan->split = preferred_split(problem);
    plan->threads = threads_for_few(problem, device);
  }
  return planned;
}

Planned make_plan(
    const Problem& problem, const Device& device, int block_size) {
  return block_size == 0
      ? make_plan(problem, device, preferred(problem, device))
      : plan_with_blocks(problem, device, {block_size, block_size});
}

} // namespace tessera
