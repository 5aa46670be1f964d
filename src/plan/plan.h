#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <variant>

#include "plan/device.h"
#include "plan/problem.h"

namespace tessera {

// How a pass is computed.
struct Plan {
  Pass pass = Pass::forward;
  Isa isa = Isa::portable;
  int rows = 0;    // of a block of the score matrix
  int columns = 0; // of the same
  int threads = 1;
  // Forward, few queries: keys of a run that is computed apart; 0: the loop
  // over blocks.
  int split = 0;

  // Rows of the operand that stays with a work item, and of the one that the
  // item runs along, a block at a time.
  int stationary() const {
    return pass == Pass::forward ? rows : columns;
  }
  int traversal() const {
    return pass == Pass::forward ? columns : rows;
  }

  bool operator==(const Plan&) const = default;
};

struct Refusal {
  std::string reason; // "expected ...; got ..."

  bool operator==(const Refusal&) const = default;
};

using Planned = std::variant<Plan, Refusal>;

} // namespace tessera

template <>
struct std::hash<tessera::Plan> {
  std::size_t operator()(const tessera::Plan& plan) const noexcept {
    std::size_t seed = 0;
    for (const int field :
         {static_cast<int>(plan.pass),
          static_cast<int>(plan.isa),
          plan.rows,
          plan.columns,
          plan.threads,
          plan.split}) {
      // The 64-bit golden ratio spreads small fields over the word.
      seed = (seed ^ static_cast<std::size_t>(field)) * 0x9e3779b97f4a7c15u;
      seed ^= seed >> 32;
    }
    return seed;
  }
};
