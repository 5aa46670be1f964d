#include "plan/metal/plan.h"

namespace tessera::metal {

namespace {

// Fragments of 8 features.
int fragments(int features) {
  return padded(features) / 8;
}

// Of a lane: two values a fragment of eight rows.
int values_of_rows(const Plan& plan, int features) {
  return plan.rows / 8 * fragments(features) * 2;
}

// The features that are added up over the loop.
int summed_features(const Plan& plan) {
  switch (plan.pass) {
    case Pass::forward:
      return padded(plan.Dv);
    case Pass::dq:
      return padded(plan.D);
    case Pass::dkv:
      return padded(plan.D) + padded(plan.Dv);
    default:
      return 0;
  }
}

// What the features of a plan add to that. Together they need less than each
// for itself, since not all are at work at once: `most`.
int registers_of_features(const Plan& plan) {
  const auto& f = plan.features;
  struct Row {
    bool has;
    int forward, dq, dkv;
  };
  const Row rows[] = {
      {plan.causal, 2, 2, 2},
      {plan.window, 4, 2, 2},
      {f.prefix, 2, 2, 2},
      {plan.chunk, 10, 4, 28},
      {f.segments, 14, 6, 6},
      {plan.blocks, 10, 6, 14},
      {f.bias, 6, 4, 6},
      {f.alibi, 8, 4, 6},
      {f.softcap, 2, 2, 2},
      {f.dropout, 22 * plan.rows / 8, 6, 6}};
  const bool forward = plan.pass == Pass::forward;
  int count = 0;
  for (const auto& row : rows) {
    if (row.has) {
      count += forward             ? row.forward
          : plan.pass == Pass::dkv ? row.dkv
                                   : row.dq;
    }
  }
  const int most = forward     ? 35 * plan.rows / 8
      : plan.pass == Pass::dkv ? 44
                               : 40;
  return count < most ? count : most;
}

// Where the features are few a compiler loads what all of a tile needs ahead of
// the first product, if it is not staged.
int registers_of_loads(const Plan& plan) {
  const int fewest = fragments(plan.D < plan.Dv ? plan.D : plan.Dv);
  const bool ahead =
      plan.staging == Staging::direct && plan.pass != Pass::dbias;
  const int of_fragment = !ahead   ? 0
      : plan.pass == Pass::forward ? 4
      : plan.pass == Pass::dkv     ? 15
                                   : 7;
  const int loads = of_fragment * plan.columns / 8;
  if (plan.pass == Pass::forward) {
    return fewest <= 4 ? 2 + loads : 0;
  }
  return fewest < 4 ? loads : 0;
}

// Addresses, bounds, the mask's numbers.
int housekeeping(const Plan& plan) {
  if (!by_scores(plan.pass)) {
    return 32;
  }
  int count = plan.pass == Pass::dkv ? 44 : 32;
  count += plan.staging == Staging::pieces ? 8 : 0;
  count += plan.staging == Staging::direct ? 24 : 0;
  if (plan.pass != Pass::forward) {
    count += 2 * (2 - plan.hold_own - plan.hold_value);
  }
  count += plan.sums == Home::threadgroup ? 22 : 0;
  if (plan.sums == Home::device) {
    count += plan.hold_own || plan.hold_value ? 12 : 8;
    // An address of each column in a loop over features.
    count += plan.staging == Staging::direct ? 18 * plan.columns / 8 : 0;
  }
  if (plan.pass == Pass::dbias) {
    count += 40 + (plan.features.mask ? 12 * (plan.rows / 8 - 1) : 0);
  }
  return count + registers_of_loads(plan) + registers_of_features(plan);
}

int registers(const Plan& plan) {
  if (!by_scores(plan.pass)) {
    return housekeeping(plan);
  }
  const int words = static_cast<int>(size_of(plan.dtype));
  const int tile = plan.rows / 8 * plan.columns / 8 * 2;
  const int tiles = plan.pass == Pass::forward ? 1
      : plan.pass == Pass::dbias               ? 3
                                               : 2;
  int count = housekeeping(plan) + tile * tiles;
  count += plan.hold_own ? values_of_rows(plan, plan.D) * words / 4 : 0;
  count += plan.hold_value ? values_of_rows(plan, plan.Dv) * words / 4 : 0;
  count += plan.sums == Home::registers
      ? values_of_rows(plan, summed_features(plan))
      : 0;
  return count;
}

} // namespace

Resources resources(const Plan& plan) {
  Resources r;
  r.registers = registers(plan);
  const int gap = staged_gap(plan.dtype);
  const int head = plan.columns * (plan.head_block + gap);
  const int value = plan.columns * (plan.value_block + gap);
  if (plan.staging == Staging::whole) {
    r.staged_elements = head + value;
    r.staged_offset = head;
  } else if (plan.staging == Staging::pieces) {
    r.staged_offset = head > value ? head : value;
    r.staged_elements = 2 * r.staged_offset;
  }
  r.threadgroup_bytes =
      r.staged_elements * static_cast<int>(size_of(plan.dtype));
  if (plan.sums != Home::registers) {
    r.spilled_floats = 32 * values_of_rows(plan, summed_features(plan));
  }
  if (plan.sums == Home::threadgroup) {
    r.threadgroup_bytes += plan.simdgroups * r.spilled_floats * 4;
  }
  return r;
}

} // namespace tessera::metal

std::size_t std::hash<tessera::metal::Plan>::operator()(
    const tessera::metal::Plan& p) const noexcept {
  const auto& f = p.features;
  std::size_t seed = 0;
  for (const int field :
       {static_cast<int>(p.pass),
        static_cast<int>(p.dtype),
        p.D,
        p.Dv,
        p.rows,
        p.simdgroups,
        p.columns,
        p.head_block,
        p.value_block,
        static_cast<int>(p.staging),
        static_cast<int>(p.sums),
        p.hold_own | p.hold_value << 1 | p.packed << 2 | p.causal << 3 |
            p.window << 4 | p.chunk << 5 | p.blocks << 6 | p.runs << 7,
        f.prefix | f.segments << 1 | f.mask << 2 | f.bias << 3 | f.alibi << 4 |
            f.softcap << 5 | f.sinks << 6 | f.dropout << 7}) {
    // The 64-bit golden ratio spreads small fields over the word.
    seed = (seed ^ static_cast<std::size_t>(field)) * 0x9e3779b97f4a7c15u;
    seed ^= seed >> 32;
  }
  return seed;
}
