#include "mfa.h"

namespace tessera::bench {

namespace {

using metal::Family;

struct Row {
  Family family;
  int D;
  int parallelization;
  int traversal;
  int head;
  bool cached_Q;
  bool cached_O;
  double percent;
};

constexpr Row rows[] = {
    {Family::m1, 64, 32, 128, 32, true, true, 86},
    {Family::m1, 128, 32, 128, 32, true, false, 85},
    {Family::m1, 256, 32, 128, 32, false, false, 86},
    {Family::m3, 64, 16, 128, 32, true, true, 94},
    {Family::m3, 128, 16, 128, 32, false, true, 91},
    {Family::m3, 256, 16, 128, 32, false, false, 82},
};

// Apple 7 and 8 copy K and V into threadgroup memory, Apple 9 reads them in
// place, where the block of the head dimension has no counterpart with us: a
// fragment is read when its turn comes. An O that is not cached lies in
// threadgroup memory and not, as MFA's, in device memory.
metal::Plan plan_of(const Row& row) {
  const bool staged = row.family == Family::m1;
  metal::Plan plan;
  plan.dtype = Dtype::float16;
  plan.D = plan.Dv = row.D;
  plan.simdgroups = row.parallelization / plan.rows;
  plan.columns = row.traversal;
  plan.staging = staged ? metal::Staging::pieces : metal::Staging::direct;
  plan.head_block = plan.value_block = staged ? row.head : row.D;
  plan.hold_own = row.cached_Q;
  plan.sums = row.cached_O ? metal::Home::registers : metal::Home::threadgroup;
  return plan;
}

} // namespace

std::vector<Published> published() {
  std::vector<Published> all;
  for (const auto& row : rows) {
    all.push_back({row.family, plan_of(row), row.percent / 100});
  }
  return all;
}

double as_mfa_counts(const metal::Plan& plan) {
  return (2.0 * plan.D + 5) / (2.0 * plan.D);
}

} // namespace tessera::bench
