#include "plan/rules.h"

#include <fmt/format.h>

#include "plan/workspace.h"

namespace tessera {

namespace {

// Larger sides overflow the sizes of a workspace, and none can fit the budget.
constexpr int largest = 1 << 20;

std::optional<Refusal> why_not_block(const char* side, int size, Isa isa) {
  const int lanes = register_tile(isa).lanes;
  if (size > 0 && size % lanes == 0) {
    return std::nullopt;
  }
  return Refusal{fmt::format(
      "expected a block of {} that is a positive multiple of {}, the vector "
      "length of {}; got {}",
      side,
      lanes,
      name(isa),
      size)};
}

} // namespace

std::optional<Refusal> why_not(
    const Problem& problem, const Plan& plan, const Device& device) {
  if (plan.isa > device.isa) {
    return Refusal{fmt::format(
        "expected an instruction set up to {}; got {}",
        name(device.isa),
        name(plan.isa))};
  }
  if (plan.isa == Isa::amx && problem.dtype != Dtype::bfloat16) {
    return Refusal{"expected bfloat16 on amx; got another dtype"};
  }
  if (plan.pass != problem.pass) {
    return Refusal{"expected a plan of the problem's pass; got another's"};
  }
  if (auto refusal = why_not_block("rows", plan.rows, plan.isa)) {
    return refusal;
  }
  if (auto refusal = why_not_block("columns", plan.columns, plan.isa)) {
    return refusal;
  }
  if (plan.threads < 1) {
    return Refusal{
        fmt::format("expected at least 1 thread; got {}", plan.threads)};
  }
  const bool huge = plan.rows > largest || plan.columns > largest ||
      problem.D > largest || problem.Dv > largest;
  const auto bytes = huge ? 0 : workspace(problem, plan).bytes();
  if (huge || bytes > thread_budget) {
    return Refusal{fmt::format(
        "expected tiles within {} KiB a thread; got {} for blocks of {} x {} "
        "at "
        "head dimensions {} and {}",
        thread_budget >> 10,
        huge ? "far more" : fmt::format("{} KiB", bytes >> 10),
        plan.rows,
        plan.columns,
        problem.D,
        problem.Dv)};
  }
  const int most_rows = most_panels * register_tile(plan.isa).panel();
  if (plan.rows > most_rows) {
    return Refusal{fmt::format(
        "expected a block of at most {} rows with {}; got {}",
        most_rows,
        name(plan.isa),
        plan.rows)};
  }
  return std::nullopt;
}

} // namespace tessera
