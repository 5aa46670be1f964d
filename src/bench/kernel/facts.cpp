#include "bench/kernel/facts.h"

#include <fmt/format.h>

namespace tessera::bench {

std::vector<PlanFact> facts_of(const metal::Plan& plan) {
  const auto need = metal::resources(plan);
  if (!metal::by_scores(plan.pass)) {
    return {{"simdgroups", plan.simdgroups}};
  }
  const std::string stagings[] = {"none", "whole", "pieces"};
  const std::string homes[] = {"registers", "threadgroup", "device"};
  return {
      {"rows", plan.rows},
      {"columns", plan.columns},
      {"simdgroups", plan.simdgroups},
      {"head_block", plan.head_block},
      {"value_block", plan.value_block},
      {"staged", stagings[static_cast<int>(plan.staging)]},
      {"sums_in", homes[static_cast<int>(plan.sums)]},
      {"own_in_registers", plan.hold_own},
      {"own_value_in_registers", plan.hold_value},
      {"registers_per_thread", need.registers},
      {"threadgroup_bytes", need.threadgroup_bytes}};
}

std::string text_of(const PlanFact& fact) {
  const auto& value = fact.second;
  if (const auto* flag = std::get_if<bool>(&value)) {
    return *flag ? "yes" : "no";
  }
  const auto* number = std::get_if<int>(&value);
  return number != nullptr ? fmt::format("{}", *number)
                           : std::get<std::string>(value);
}

} // namespace tessera::bench
