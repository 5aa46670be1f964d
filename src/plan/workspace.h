#pragma once

#include <cstddef>

#include "plan/plan.h"

namespace tessera {

// Values of the problem's dtype that one 32-bit word of a packed operand holds:
// two bfloat16 for the instruction sets that multiply and add them in pairs,
// else one float32.
int values_per_word(const Problem& problem, const Plan& plan);

// Where each buffer of one thread begins, in words from a 64-byte boundary.
//
// With P the queries of a panel, W the width of a sum's panel, w() the words
// that so many values take along the contracted axis:
// - lanes form: [panel of P queries][w(features)][P], w() in whole products
// - rows form, words along features: [panel of W words][row + spare][W]
// - features form, words along rows: [panel of W features][w(rows) + spare][W]
// - tile of a panel of queries: [key + spare][P]
// - sum, float32: [panel of W features][row][W]
//
// Where a word holds one float32, the rows form is the features form.
struct Workspace {
  std::size_t Q_lanes = 0;
  std::size_t Q_features = 0;
  std::size_t dO_lanes = 0;
  std::size_t dO_features = 0;
  std::size_t K_rows = 0;
  std::size_t K_features = 0;
  std::size_t V_rows = 0;
  std::size_t V_features = 0;
  // A tile each of one panel, and of all panels of a row block where the words
  // hold one value.
  std::size_t S = 0;
  std::size_t dP = 0;
  std::size_t added = 0;  // where there is a mask: it and the bias
  std::size_t capped = 0; // 1 - tanh^2
  std::size_t kept = 0;   // dropout: 0 or 1 / (1 - p)
  // Pairs of keys, of one panel: [w(keys)][P]; of queries: [panel][key][P / 2].
  std::size_t key_pairs = 0;
  std::size_t P_pairs = 0;
  std::size_t dS_pairs = 0;
  // Sums over blocks.
  std::size_t O = 0;
  std::size_t dQ = 0;
  std::size_t dK = 0;
  std::size_t dV = 0;
  std::size_t dbias = 0; // [panel] a tile each
  std::size_t dbias_words = 0;
  std::size_t statistics = 0; // [3][statistics_length]
  int statistics_length = 0;
  std::size_t words = 0; // the whole

  // Distances that the kernels need again.
  int rows = 0;        // of a block, a multiple of P
  int columns = 0;     // of a block, a multiple of the unit
  int tile_words = 0;  // of a panel's tile, spare included
  int lanes_words = 0; // w(D), in whole products
  int value_words = 0; // w(Dv), the same

  std::size_t bytes() const {
    return words * sizeof(float);
  }
};

Workspace workspace(const Problem& problem, const Plan& plan);

constexpr int round_up(int value, int unit) {
  return (value + unit - 1) / unit * unit;
}

} // namespace tessera
