#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "plan/metal/device.h"
#include "plan/metal/plan.h"

// How fast a plan should be. All of it is predicted, nothing is measured;
// docs/notes/metal-cost-model.md tells how far it is off.
namespace tessera::metal {

// Stands wherever a prediction is printed.
constexpr std::string_view not_measured = "predicted, not measured";

// What a pass does for an 8 x 8 block of scores, far from the ends of the
// sequences. The numbers come from executing the kernels (bench/metal), none is
// worked out by hand.
struct Cost {
  double matrix_operations = 0; // 8 x 8 x 8, of a simdgroup
  double exponentials = 0;      // of threads
  double floats = 0;            // other operations on floats, of threads
  double exchanges = 0;         // shuffles and reductions, of simdgroups
  double device_bytes = 0;      // read and written
  double threadgroup_bytes = 0; // the same
  double barriers = 0;          // of a threadgroup, times its simdgroups

  bool operator==(const Cost&) const = default;
};

// What one of the four SIMD units of a core does, in cycles.
struct Machine {
  double matrix16 = 0; // a matrix operation on 16-bit operands
  double matrix32 = 0; // on float32
  // 1: the pipes wait for each other; without bound: the slowest one hides the
  // others. Fitted, the only number that is.
  double overlap = 1;
};

Machine machine(Family family);

// Cycles of a SIMD unit for an 8 x 8 block of scores.
struct Prediction {
  double arithmetic = 0; // matrix operations, floats, exchanges, barriers
  double special = 0;    // exponentials
  double memory = 0;     // threadgroup memory and the cache of device memory
  double cycles = 0;     // of them together
  double share = 0;      // useful multiplies and adds, of the ALU limit
};

// Useful are the products of the pass, 2 in forward, 3 in dq and 4 in dkv, at
// the true head dimensions.
double useful_matrix_operations(const Plan& plan);

Prediction predict(const Plan& plan, const Cost& cost, const Machine& machine);

// A plan that was counted.
struct Counted {
  Plan plan;
  Cost cost;
};

// Every one of them; without masks and features, float16 and float32.
std::span<const Counted> counted_plans();

// For a plan that was counted, by its loop: bfloat16 counts as float16, and a
// mask by positions as none, since it skips tiles and leaves the others alone.
// Nothing for plans with features.
std::optional<Prediction> predicted(const Plan& plan, Family family);

} // namespace tessera::metal
