#include "plan/metal/rules.h"

#include <fmt/format.h>

namespace tessera::metal {

namespace {

std::optional<Refusal> why_not_side(const char* side, int size, int most) {
  if (size > 0 && size % 8 == 0 && size <= most) {
    return std::nullopt;
  }
  return Refusal{fmt::format(
      "expected {} that are a positive multiple of 8, the side of a "
      "simdgroup_matrix, and at most {}; got {}",
      side,
      most,
      size)};
}

std::optional<Refusal> why_not_block(
    const char* what, int block, int features) {
  if (block > 0 && block % 8 == 0 && padded(features) % block == 0) {
    return std::nullopt;
  }
  return Refusal{fmt::format(
      "expected a {} that is a multiple of 8 and divides {}; got {}",
      what,
      padded(features),
      block)};
}

std::optional<Refusal> more_than(
    const char* what, int got, int limit, Family family) {
  if (got <= limit) {
    return std::nullopt;
  }
  return Refusal{fmt::format(
      "expected at most {} {} on {}; got {}", limit, what, name(family), got)};
}

} // namespace

std::optional<Refusal> why_not_but_for_registers(
    const Plan& plan, Family family) {
  const auto limit = limits(family);
  const auto need = resources(plan);
  // A bit for each element of a lane, in one word.
  const int most_columns = 16 * 64 / (plan.rows > 0 ? plan.rows : 8);
  const auto why_not_tile = [&] {
    const auto rows = why_not_side("rows of a simdgroup", plan.rows, 32);
    return rows ? rows
                : why_not_side("columns of a tile", plan.columns, most_columns);
  };
  for (const auto& refusal :
       {by_scores(plan.pass) ? why_not_tile() : std::nullopt,
        why_not_block("head block", plan.head_block, plan.D),
        why_not_block("value block", plan.value_block, plan.Dv),
        more_than("threads", plan.threads(), limit.threads, family),
        more_than(
            "bytes of threadgroup memory",
            need.threadgroup_bytes,
            limit.threadgroup_bytes,
            family)}) {
    if (refusal) {
      return refusal;
    }
  }
  if (plan.staging == Staging::whole &&
      (plan.head_block != padded(plan.D) ||
       plan.value_block != padded(plan.Dv))) {
    return Refusal{
        "expected blocks of all features where operands are staged whole; got "
        "smaller ones"};
  }
  if (plan.staging == Staging::pieces && plan.pass != Pass::forward) {
    return Refusal{fmt::format(
        "expected pieces of operands in forward alone; got them in {}",
        name(plan.pass))};
  }
  return std::nullopt;
}

std::optional<Refusal> why_not(const Plan& plan, Family family) {
  const auto refusal = why_not_but_for_registers(plan, family);
  return refusal ? refusal
                 : more_than(
                       "registers a thread",
                       resources(plan).registers,
                       limits(family).registers,
                       family);
}

} // namespace tessera::metal
