#pragma once

#include <cstddef>

#include "plan/plan.h"

namespace tessera::cpu {

// Keys that few queries stand against at a time: K and V of 64 keys and 128
// features lie in the first-level cache, or close to it.
constexpr int few_strip = 64;

// Features are padded to the longest vector of any instruction set.
constexpr int few_alignment = 16;

// Where each buffer of one thread begins, in floats; see pass/few.h.
struct FewWorkspace {
  std::size_t Q = 0;
  std::size_t K = 0;
  std::size_t V = 0;
  std::size_t S = 0;
  std::size_t O = 0;
  std::size_t state = 0;
  std::size_t floats = 0; // the whole
};

FewWorkspace few_workspace(const Problem& problem);

// Runs of keys that a plan splits into, and the floats of one part of a key
// head: for each of its queries shift, l, and O.
int few_parts(const Problem& problem, const Plan& plan);
std::size_t few_part_floats(const Problem& problem);

} // namespace tessera::cpu
