#include "backend/metal/split.h"

#include <algorithm>
#include <cmath>

namespace tessera::metal {

namespace {

constexpr double share_of_peak = 0.4;
// Simdgroups that keep a core busy.
constexpr int simdgroups_of_core = 8;

// Products over a tile times the features that each contracts or makes.
int features_multiplied(const Plan& plan) {
  switch (plan.pass) {
    case Pass::dq:
      return 2 * padded(plan.D) + padded(plan.Dv);
    case Pass::dkv:
      return 2 * padded(plan.D) + 2 * padded(plan.Dv);
    default:
      return padded(plan.D) + padded(plan.Dv);
  }
}

// The longest stretch of the other sequence that some block of rows meets.
int longest_stretch(const Problem& p, const Plan& plan, const Work& work) {
  if (p.features.prefix) {
    return work.along;
  }
  const Mask mask = p.mask();
  const bool by_keys = plan.pass == Pass::dkv;
  const int M = plan.rows_of_threadgroup();
  int longest = 0;
  for (int block = 0; block < work.blocks; ++block) {
    const Span rows =
        intersect({block * M, block * M + M}, {0, by_keys ? p.Nk : p.Nq});
    const Span met = by_keys ? mask.sees_any(rows) : mask.seen_by_any(rows);
    longest = std::max(longest, met.size());
  }
  return longest;
}

// `count` parts of the loop, in order.
std::vector<Along> parts_of(const Work& work, int count) {
  const int of_group = std::min(count, work.group);
  const int of_range = ceil_divide(count, of_group);
  const int units = std::max(1, ceil_divide(work.along, work.unit));
  const int size = ceil_divide(units, of_range) * work.unit;
  // Heads are the outer loop: they go together only where all queries of each
  // are run along.
  const int heads = of_range > 1 ? 1 : ceil_divide(work.group, of_group);
  std::vector<Along> parts;
  for (const Span group : chunks(work.group, heads)) {
    for (const Span range : chunks(work.along, size)) {
      parts.push_back({group, range, {false, false}});
    }
  }
  parts.front().part.begins = true;
  parts.back().part.ends = true;
  return parts;
}

} // namespace

Work work_of(const Problem& p, const Plan& plan) {
  const bool by_keys = plan.pass == Pass::dkv;
  Work work;
  work.batches = p.B;
  work.heads = by_keys ? p.Hkv : p.Hq;
  work.blocks = ceil_divide(by_keys ? p.Nk : p.Nq, plan.rows_of_threadgroup());
  work.simdgroups = plan.simdgroups;
  if (plan.pass == Pass::delta) { // which has no loop
    work.along = 1;
    work.bytes = plan.rows_of_threadgroup() *
        (2.0 * p.Dv * static_cast<double>(size_of(p.dtype)) +
         2 * sizeof(float));
    return work;
  }
  work.along = by_keys ? p.Nq : p.Nk;
  work.unit = plan.columns;
  work.group = by_keys ? p.group() : 1;
  work.flops = 2.0 * plan.rows_of_threadgroup() * features_multiplied(plan) *
      work.group * longest_stretch(p, plan, work);
  return work;
}

std::vector<Span> chunks(int length, int size) {
  std::vector<Span> spans;
  for (int lo = 0; lo < length; lo += size) {
    spans.push_back({lo, std::min(length, lo + size)});
  }
  if (spans.empty()) {
    spans.push_back({0, 0});
  }
  return spans;
}

double estimated_seconds(const Work& block, double blocks, Family family) {
  const auto limit = limits(family);
  const double busy = std::min(
      1.0, blocks * block.simdgroups / (limit.cores * simdgroups_of_core));
  const double seconds =
      std::max(block.flops / limit.flops, block.bytes / limit.bytes);
  return blocks * seconds / (share_of_peak * busy);
}

Cut cut(const Work& work, Family family, double seconds) {
  int batches = std::max(1, work.batches);
  int heads = std::max(1, work.heads);
  int blocks = std::max(1, work.blocks);
  const double fill = limits(family).cores * simdgroups_of_core;
  const auto threadgroups = [&] {
    return static_cast<double>(batches) * heads * blocks;
  };
  const auto time = [&] {
    return estimated_seconds(work, threadgroups(), family);
  };
  // Where one block alone fills the GPU, only its loop is left to cut.
  while (time() > seconds && threadgroups() > 1 &&
         threadgroups() * work.simdgroups >= 2 * fill) {
    int& largest = batches > 1 ? batches : heads > 1 ? heads : blocks;
    largest = ceil_divide(largest, 2);
  }
  const int parts = std::max(1, static_cast<int>(std::ceil(time() / seconds)));
  return {
      chunks(work.batches, batches),
      chunks(work.heads, heads),
      chunks(work.blocks, blocks),
      parts_of(work, parts)};
}

Runs runs_of(
    const Problem& p, const Plan& plan, Family family, double seconds) {
  constexpr int unit = 256;
  constexpr int wanted = 64;
  const int rows = plan.rows_of_threadgroup();
  const double blocks = 1.0 * p.B * p.Hkv * ceil_divide(p.group() * p.Nq, rows);
  Runs runs;
  const auto time = [&](int together) {
    Work block;
    block.flops = 2.0 * rows * features_multiplied(plan) * runs.keys;
    block.simdgroups = plan.simdgroups;
    return estimated_seconds(block, blocks * together, family);
  };
  const int enough = ceil_divide(wanted, std::max(1, p.B * p.Hkv));
  const int keys = ceil_divide(ceil_divide(p.Nk, enough), unit) * unit;
  runs.keys = std::max(unit, keys);
  while (runs.keys > unit && time(1) > seconds) {
    runs.keys = std::max(unit, runs.keys / 2 / unit * unit);
  }
  runs.count = std::max(1, ceil_divide(p.Nk, runs.keys));
  runs.together = runs.count;
  while (runs.together > 1 && time(runs.together) > seconds) {
    runs.together = ceil_divide(runs.together, 2);
  }
  return runs;
}

} // namespace tessera::metal
