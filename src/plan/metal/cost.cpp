#include "plan/metal/cost.h"

#include <algorithm>
#include <cmath>

#include "plan/metal/cost_table.h"

namespace tessera::metal {

namespace {

constexpr double lanes = 32;

// Cycles of a SIMD unit, four of which make a core: Turner, "metal-benchmarks",
// tables of instruction throughputs and of on-chip memory, measured on M1.
constexpr double float_cycles = 1;
constexpr double exponential_cycles = 4; // beside the others, but issued by one
constexpr double exchange_cycles = 2;
constexpr double bytes_a_cycle = 64.0 / 4; // both of threadgroup memory and L1
// A simdgroup at a barrier waits until its last matrix operation is through: a
// latency of 34 cycles, of which 17 are the operation's own.
constexpr double barrier_cycles = 34 - 17;

} // namespace

Machine machine(Family family) {
  switch (family) {
    case Family::m3:
    case Family::m4:
      // Nobody has published them: the full rate, 512 multiplies and adds on 32
      // lanes.
      return {.matrix16 = 16, .matrix32 = 16, .overlap = 2.08};
    case Family::m1:
    case Family::m2:
      break;
  }
  return {.matrix16 = 17, .matrix32 = 18, .overlap = 3.91};
}

double useful_matrix_operations(const Plan& plan) {
  const double by_head = plan.pass == Pass::forward ? 1 : 2;
  const double by_value = plan.pass == Pass::dkv ? 2 : 1;
  return (by_head * plan.D + by_value * plan.Dv) / 8;
}

Prediction predict(const Plan& plan, const Cost& cost, const Machine& machine) {
  const double matrix =
      plan.dtype == Dtype::float32 ? machine.matrix32 : machine.matrix16;
  Prediction p;
  p.arithmetic = cost.matrix_operations * matrix +
      (cost.floats + cost.exponentials) / lanes * float_cycles +
      cost.exchanges * exchange_cycles + cost.barriers * barrier_cycles;
  p.special = cost.exponentials / lanes * exponential_cycles;
  p.memory = (cost.device_bytes + cost.threadgroup_bytes) / bytes_a_cycle;
  double sum = 0;
  for (const double pipe : {p.arithmetic, p.special, p.memory}) {
    sum += std::pow(pipe, machine.overlap);
  }
  p.cycles = std::pow(sum, 1 / machine.overlap);
  p.share = useful_matrix_operations(plan) * 512 / lanes / p.cycles;
  return p;
}

std::span<const Counted> counted_plans() {
  return counted;
}

std::optional<Prediction> predicted(const Plan& plan, Family family) {
  Plan wanted = plan;
  wanted.causal = wanted.window = wanted.chunk = wanted.blocks = false;
  if (wanted.dtype == Dtype::bfloat16) {
    wanted.dtype = Dtype::float16;
  }
  const auto at = std::ranges::find(counted, wanted, &Counted::plan);
  if (at == std::end(counted)) {
    return std::nullopt;
  }
  return predict(plan, at->cost, machine(family));
}

} // namespace tessera::metal
