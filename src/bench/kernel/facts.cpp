#include "bench/kernel/facts.h"

#include <fmt/format.h>

namespace tessera::bench {

std::vector<std::pair<std::string, std::string>> facts_of(
    const metal::Plan& plan) {
  const auto need = metal::resources(plan);
  const auto text = [](int value) {
    return fmt::format("{}", value);
  };
  if (!metal::by_scores(plan.pass)) {
    return {{"simdgroups", text(plan.simdgroups)}};
  }
  constexpr const char* stagings[] = {"none", "whole", "pieces"};
  constexpr const char* homes[] = {"registers", "threadgroup", "device"};
  return {
      {"rows", text(plan.rows)},
      {"columns", text(plan.columns)},
      {"simdgroups", text(plan.simdgroups)},
      {"head_block", text(plan.head_block)},
      {"value_block", text(plan.value_block)},
      {"staged", stagings[static_cast<int>(plan.staging)]},
      {"sums_in", homes[static_cast<int>(plan.sums)]},
      {"own_in_registers", plan.hold_own ? "yes" : "no"},
      {"own_value_in_registers", plan.hold_value ? "yes" : "no"},
      {"registers_per_thread", text(need.registers)},
      {"threadgroup_bytes", text(need.threadgroup_bytes)}};
}

} // namespace tessera::bench
