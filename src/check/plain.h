#pragma once

#include <vector>

#include "check/arrays.h"

namespace tessera::cases {

// Attention of some queries by the textbook formulas, in MLX's elementary ops
// on the CPU: scores, softmax, product, each a whole matrix.
struct PlainResult {
  mx::array O;                      // [B, Hq, rows, Dv]
  mx::array L;                      // [B, Hq, rows]
  std::vector<mx::array> gradients; // of Arrays::differentiated(); dQ's rows
};

enum class Precision {
  exact, // float64 throughout
  plain, // the case's dtype: sums in float32, each matrix rounded
};

// `dO` [B, Hq, rows, Dv]: the other queries' cotangents are zero. Without
// `backward` no gradients.
PlainResult plain_attention(
    const Arrays& arrays,
    const std::vector<int>& rows,
    const mx::array& dO,
    Precision precision,
    bool backward);

// The sums of the absolute values of the terms of each result, in float64: what
// the rounding of a sum is measured by, in whatever order it is taken. As the
// tests' reference has them: each that holds a probability times one plus the
// largest such sum of a score of its row.
PlainResult magnitudes(
    const Arrays& arrays,
    const std::vector<int>& rows,
    const mx::array& dO,
    bool backward);

} // namespace tessera::cases
