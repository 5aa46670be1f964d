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

int registers(const Plan& plan) {
  // Addresses, bounds, the mask's numbers.
  constexpr int housekeeping = 24;
  if (!by_scores(plan.pass)) {
    return housekeeping;
  }
  const int words = static_cast<int>(size_of(plan.dtype));
  const int tile = plan.rows / 8 * plan.columns / 8 * 2;
  const int tiles = plan.pass == Pass::forward ? 1
      : plan.pass == Pass::dbias               ? 3
                                               : 2;
  int count = housekeeping + tile * tiles;
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
  constexpr int shared_of_loop = 712;
  constexpr int shared_of_rows = 64;
  r.registers = registers(plan);
  r.private_bytes = 4 * r.registers +
      (by_scores(plan.pass) ? shared_of_loop : shared_of_rows);
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
