#pragma once

#include <cstddef>
#include <limits>

#include "plan/mask.h"

namespace tessera {

enum class Dtype { float32, float16, bfloat16 };

constexpr std::size_t size_of(Dtype dtype) {
  return dtype == Dtype::float32 ? 4 : 2;
}

// The loops: O and L; dQ, dK and dV with what the features add; the gradient of
// a bias, by tiles of the bias.
enum class Pass { forward, backward, dbias };

// The arrays and numbers that a call brings beside Q, K and V.
struct Features {
  bool prefix = false;   // [B], keys before it are seen by every query
  bool segments = false; // equal ids see each other
  bool mask = false;     // boolean, true keeps
  bool bias = false;     // joins the scaled scores
  bool alibi = false;    // a slope a head
  bool softcap = false;
  bool sinks = false; // one more logit a head
  bool dropout = false;

  // Scores that are not scale * Q K^T alone.
  bool change_scores() const {
    return mask || bias || alibi || softcap;
  }
  bool operator==(const Features&) const = default;
};

// What is to be computed, without the data.
struct Problem {
  Pass pass = Pass::forward;
  Dtype dtype = Dtype::float32;
  int B = 0;
  int Hq = 0;
  int Hkv = 0;
  int Nq = 0;
  int Nk = 0;
  int D = 0;  // head dimension of Q and K
  int Dv = 0; // head dimension of V
  bool causal = false;
  // Keys before and after a query's own that it sees.
  int left = unbounded;
  int right = unbounded;
  int chunk = 0; // 0: none
  // Sides of a block of the block list; 0: none.
  int block_rows = 0;
  int block_columns = 0;
  Features features{};

  int group() const {
    return Hq / Hkv;
  }
  Mask mask(int prefix = 0) const {
    return {Nq, Nk, causal, left, right, chunk, prefix};
  }
  // The sequence that the pass cuts into work items, and the one that each item
  // runs along: rows and columns of the score matrix, or the reverse.
  bool by_rows() const {
    return pass == Pass::forward;
  }
  int stationary_length() const {
    return by_rows() ? Nq : Nk;
  }
  int stationary_heads() const {
    return by_rows() ? Hq : Hkv;
  }

  bool operator==(const Problem&) const = default;
};

// Matrix products over the score matrix that a pass takes.
constexpr int products(Pass pass) {
  return pass == Pass::forward ? 2 : pass == Pass::backward ? 5 : 2;
}

} // namespace tessera
