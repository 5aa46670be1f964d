#pragma once

#include <cstddef>

#include "plan/plan.h"

namespace tessera {

// Where each buffer of one thread begins, in floats from a 64-byte boundary.
// Suffix a: of the head dimension of Q and K; b: of V's.
//
// With w the width of the register tile, r its rows:
//   stationary   [panel of w rows][feature][w]          transposed operand
//   traversal    [panel of w features][row + r][w]      operand as it lies
//   tile         [traversal row + r][w]                 S, P; dP, dS
//   accumulator  [panel of w features][stationary row][w]
//   statistics   rows of length max(stationary, traversal), rounded up to w
struct Workspace {
  std::size_t stationary_a = 0;
  std::size_t stationary_b = 0;
  std::size_t traversal_a = 0;
  std::size_t traversal_b = 0;
  std::size_t tile_S = 0;
  std::size_t tile_dP = 0;
  std::size_t accumulator_a = 0;
  std::size_t accumulator_b = 0;
  std::size_t statistics = 0;
  int statistics_length = 0;
  std::size_t floats = 0; // the whole

  static constexpr int statistics_rows = 4;

  std::size_t bytes() const {
    return floats * sizeof(float);
  }
};

Workspace workspace(const Problem& problem, const Plan& plan);

constexpr int round_up(int value, int unit) {
  return (value + unit - 1) / unit * unit;
}

} // namespace tessera
