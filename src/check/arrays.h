#pragma once

#include <optional>
#include <vector>

#include "tessera/case.h"

namespace tessera::cases {

// The random arrays of a case, evaluated.
struct Arrays {
  AttentionCase attention;
  mx::array Q;              // [B, Hq, Nq, D]
  mx::array K;              // [B, Hkv, Nk, D]
  mx::array V;              // [B, Hkv, Nk, Dv]
  mx::array dO;             // [B, Hq, Nq, Dv]
  AttentionOptions options; // what the case asks for beside them
  bool all_gradients = false;

  // What is differentiated: Q, K, V; with all_gradients bias, alibi and sinks
  // after them, as far as there are any.
  std::vector<mx::array> differentiated() const;
  // These arrays with other values for what is differentiated.
  Arrays with(const std::vector<mx::array>& values) const;
};

Arrays random_arrays(const AttentionCase& c, bool all_gradients);

// The same, unevaluated and without random content: shapes and dtypes alone.
Arrays empty_arrays(const AttentionCase& c);

// [rows, Nk], true where the query sees the key by positions, prefix and
// segments; `kept` is not in it.
mx::array seen_by(const AttentionCase& c, const std::vector<int>& rows);

// What the boolean mask and the block list of the case keep together,
// broadcastable to [B, Hq, Nq, Nk]; absent where it has neither.
std::optional<mx::array> kept(const Arrays& arrays);

// -|i' - j| as float32 [rows, Nk], what an ALiBi slope multiplies.
mx::array distances(const AttentionCase& c, const std::vector<int>& rows);

std::vector<int> all_rows(const AttentionCase& c);

// Pairs of query and key that see each other, over batch and heads.
double seen_pairs(const Arrays& arrays);

} // namespace tessera::cases
