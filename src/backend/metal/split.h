#pragma once

#include <vector>

#include "backend/metal/launch.h"

namespace tessera::metal {

// macOS ends a command buffer that keeps a GPU with a display for long, and one
// of MLX's holds up to 50 launches, 100 at the end of a long call: each gets a
// hundredth of half a second.
constexpr double launch_seconds = 0.5 / 100;

// What a pass has to do, by the axes along which it can be cut.
struct Work {
  int batches = 0;
  int heads = 0;
  int blocks = 0; // of the rows that threadgroups own
  // What each block runs along: keys, or queries in dkv for each of `group`
  // heads, or the steps of dbias; in units that are not cut.
  int along = 0;
  int unit = 1;
  int group = 1;
  // The most that a block of one head takes, and what shares it.
  double flops = 0;
  double bytes = 0; // of device memory, where that is what takes the time
  int simdgroups = 1;
};

Work work_of(const Problem& problem, const Plan& plan);

// A part of the loop, for all pieces.
struct Along {
  Span group;
  Span range;
  Part part;
};

// The pieces of each axis, joined in order, make the whole; every piece runs
// every part of the loop, in order.
struct Cut {
  std::vector<Span> batches;
  std::vector<Span> heads;
  std::vector<Span> blocks;
  std::vector<Along> parts;
};

// Cuts work so that no launch takes longer than `seconds` by the estimate
// below: into pieces as long as they fill the GPU, beyond that its loop. The
// cut does not change a bit of the result.
Cut cut(const Work& work, Family family, double seconds);

// An estimate of the time that a launch of so many blocks takes. Two fifths of
// the GPU's peaks are taken for granted, where there are simdgroups enough.
double estimated_seconds(const Work& block, double blocks, Family family);

// How few queries meet their keys: `count` runs of `keys` keys, `together` of
// them a launch.
struct Runs {
  int keys = 0;
  int count = 1;
  int together = 1;
};

// Enough runs that they fill a GPU, and none so long that one of all heads
// takes more than `seconds`.
Runs runs_of(
    const Problem& problem, const Plan& plan, Family family, double seconds);

// The whole numbers below `length` in spans of `size`; an empty one where there
// are none, since sums over nothing are results too.
std::vector<Span> chunks(int length, int size);

constexpr int ceil_divide(int a, int b) {
  return (a + b - 1) / b;
}

} // namespace tessera::metal
