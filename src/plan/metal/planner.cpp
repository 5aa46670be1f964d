#include "plan/metal/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "plan/metal/rules.h"

namespace tessera::metal {

namespace {

// Rows that a threadgroup stages operands for. Where there are fewer, half of
// them would be empty, and all of the threadgroup's threads would read what the
// call says of its operands.
int rows_of_threadgroup(const Problem& problem, Pass pass) {
  return pass == Pass::forward && problem.Nq <= short_queries ? short_queries
                                                              : 64;
}

// Elements of threadgroup memory up to which both operands of a tile are staged
// whole. Forward, MLX's own kernel takes about as much; backward, where pieces
// would be staged twice, two threadgroups still fit a core.
constexpr int most_staged(Pass pass, Dtype dtype) {
  return pass == Pass::forward ? 6144
                               : 20480 / static_cast<int>(size_of(dtype));
}

// The widest part of `features` that divides them, of at most `most`.
int piece_of(int features, int most) {
  for (int block = most; block > 8; block -= 8) {
    if (padded(features) % block == 0) {
      return block;
    }
  }
  return 8;
}

void set_staging(Plan& plan, Staging staging, int piece = 64) {
  plan.staging = staging;
  const bool pieces = staging == Staging::pieces;
  plan.head_block = pieces ? piece_of(plan.D, piece) : padded(plan.D);
  plan.value_block = pieces ? piece_of(plan.Dv, piece) : padded(plan.Dv);
}

// All that a problem decides.
Plan plan_of(const Problem& problem, Pass pass) {
  Plan plan;
  plan.pass = pass;
  plan.dtype = problem.dtype;
  plan.D = problem.D;
  plan.Dv = problem.Dv;
  plan.causal = problem.causal;
  plan.window = problem.left != unbounded || problem.right != unbounded;
  plan.chunk = problem.chunk > 0;
  plan.blocks = problem.block_rows > 0;
  plan.features = problem.features;
  plan.packed = pass == Pass::forward && packs_rows(problem);
  plan.runs = plan.packed;
  set_staging(plan, Staging::direct);
  return plan;
}

// Rows of a simdgroup: each fragment of the other operand that it reads serves
// all of them. From M3 on registers that are not in use cost no occupancy.
int preferred_rows(const Plan& plan, Family family) {
  const int widest = std::max(plan.D, plan.Dv);
  const bool wide = family >= Family::m3 ? widest <= 96 : widest <= 64;
  return plan.pass == Pass::forward && !plan.packed && wide ? 16 : 8;
}

// How a tile is staged, in order of preference. A boolean mask hides tiles that
// only the simdgroup concerned knows of, and what is hidden is not to be read.
std::vector<Plan> staged(const Plan& plan) {
  std::vector<Plan> plans;
  const auto add = [&](Staging staging, int columns, int piece = 64) {
    Plan next = plan;
    next.columns = columns;
    set_staging(next, staging, piece);
    if (staging != Staging::whole ||
        resources(next).staged_elements <= most_staged(plan.pass, plan.dtype)) {
      plans.push_back(next);
    }
  };
  const bool forward = plan.pass == Pass::forward;
  if (!plan.features.mask) {
    for (const int columns : {32, 16, 8}) {
      add(Staging::whole, columns);
      if (forward && columns > 8) {
        add(Staging::pieces, columns);
        add(Staging::pieces, columns, 32);
      }
    }
  }
  for (const int columns : {32, 16, 8}) {
    add(Staging::direct, columns);
  }
  if (forward) { // a wide tile is worth more than a whole one
    std::stable_sort(plans.begin(), plans.end(), [](auto& a, auto& b) {
      return (a.staging == Staging::direct) < (b.staging == Staging::direct) ||
          ((a.staging == Staging::direct) == (b.staging == Staging::direct) &&
           a.columns > b.columns);
    });
  }
  return plans;
}

// The loops over scores: the first plan that is legal. What is added up stays
// in registers where it can, then the wider tile, then what is held. Where many
// features together leave too few registers for any (dkv alone, under a boolean
// mask or of 512 float32 features), it is the plan that needs least, and the
// GPU's compiler keeps some of it in memory. `asked` fixes sides
// of the tile.
Planned plan_loop(
    const Problem& problem, Pass pass, Family family, Blocks asked = {}) {
  const Plan base = plan_of(problem, pass);
  std::optional<Refusal> first;
  std::optional<Plan> least; // registers, of those that need too many
  for (const Home home : {Home::registers, Home::threadgroup, Home::device}) {
    // dkv's two sums do not fit threadgroup memory, a row block's alone do.
    if (home == (base.pass == Pass::dkv ? Home::threadgroup : Home::device)) {
      continue;
    }
    Plan plan = base;
    plan.sums = home;
    plan.rows = home == Home::registers ? preferred_rows(base, family) : 8;
    plan.simdgroups = home == Home::threadgroup
        ? 1
        : rows_of_threadgroup(problem, pass) / plan.rows;
    if (asked.rows > 0) {
      plan.simdgroups = asked.rows / plan.rows;
    }
    for (Plan next : staged(plan)) {
      const bool other = next.rows_of_threadgroup() != asked.rows ||
          next.columns != asked.columns;
      if (asked != Blocks{} && other) {
        continue;
      }
      for (const auto& [own, value] :
           {std::pair(true, true),
            std::pair(true, false),
            std::pair(false, false)}) {
        next.hold_own = own;
        next.hold_value = value && base.pass != Pass::forward;
        const auto refusal = why_not(next, family);
        if (!refusal) {
          return next;
        }
        first = first ? first : refusal;
        const int registers = resources(next).registers;
        if (!why_not_but_for_registers(next, family) &&
            (!least || registers < resources(*least).registers)) {
          least = next;
        }
      }
    }
  }
  if (least && asked == Blocks{}) {
    return *least;
  }
  return first.value_or(Refusal{fmt::format(
      "expected tiles of a plan; got {} x {}", asked.rows, asked.columns)});
}

// A simdgroup owns a tile of the bias: the largest whose registers there are,
// or the smallest, where many features leave too few for any.
Plan plan_bias(Plan plan, Family family) {
  for (const auto& [rows, columns] :
       {std::pair(16, 32), std::pair(16, 16), std::pair(8, 16)}) {
    plan.rows = rows;
    plan.columns = columns;
    if (!why_not(plan, family)) {
      return plan;
    }
  }
  plan.columns = 8;
  return plan;
}

// The plan with as many rows a threadgroup as columns a tile, which nothing
// stages.
Planned with_block_size(Plan plan, Family family, int size) {
  plan.rows = 8;
  plan.simdgroups = std::max(1, size / 8);
  plan.columns = size;
  set_staging(plan, Staging::direct);
  if (const auto refusal = why_not(plan, family)) {
    return *refusal;
  }
  return plan;
}

// Of a plan; 0 x 0 where it was refused.
Blocks blocks_of(const Planned& planned) {
  const auto* plan = std::get_if<Plan>(&planned);
  return plan == nullptr ? Blocks{}
                         : Blocks{plan->rows_of_threadgroup(), plan->columns};
}

} // namespace

Planned make_plan(
    const Problem& problem, Pass pass, Family family, int block_size) {
  Plan plan = plan_of(problem, pass);
  switch (pass) {
    case Pass::forward:
    case Pass::dq:
    case Pass::dkv:
      break;
    case Pass::dbias:
      return plan_bias(plan, family);
    case Pass::combine:
    case Pass::delta:
      plan.rows = 1;
      plan.simdgroups = 4;
      return plan;
    case Pass::dslopes:
    case Pass::dsinks:
      plan.simdgroups = 32; // few threadgroups, each with all of a head's rows
      return plan;
  }
  const auto planned = plan_loop(problem, pass, family);
  if (block_size == 0 || std::holds_alternative<Refusal>(planned)) {
    return planned;
  }
  return with_block_size(std::get<Plan>(planned), family, block_size);
}

Planned tuned_plan(
    const Problem& problem, Pass pass, Family family, const Tiles& tiles) {
  const auto own = make_plan(problem, pass, family);
  const bool forward = pass == Pass::forward;
  const Blocks blocks = forward ? tiles.forward : tiles.backward;
  const bool tiled = forward || pass == Pass::dq || pass == Pass::dkv;
  if (!tiled || blocks == Blocks{} ||
      (pass == Pass::dkv &&
       blocks == blocks_of(make_plan(problem, Pass::dq, family)))) {
    return own;
  }
  const auto planned = plan_loop(problem, pass, family, blocks);
  return std::holds_alternative<Plan>(planned) ? planned : own;
}

std::vector<Blocks> candidates(const Problem& problem, Family family) {
  const auto pass =
      problem.pass == tessera::Pass::forward ? Pass::forward : Pass::dq;
  const auto own = blocks_of(make_plan(problem, pass, family));
  if (own == Blocks{}) {
    return {};
  }
  std::vector<Blocks> found = {own};
  for (const int rows : {32, 64, 128}) {
    for (const int columns : {8, 16, 32}) {
      const Blocks blocks = {rows, columns};
      const auto planned = plan_loop(problem, pass, family, blocks);
      if (std::holds_alternative<Plan>(planned) && blocks != own) {
        found.push_back(blocks);
      }
    }
  }
  return found;
}

} // namespace tessera::metal
