#pragma once

#include <cstddef>

#include "plan/mask.h"

namespace tessera {

enum class Dtype { float32, float16, bfloat16 };

constexpr std::size_t size_of(Dtype dtype) {
  return dtype == Dtype::float32 ? 4 : 2;
}

// The three loops: O and L; dQ by blocks of rows; dK and dV by blocks of
// columns.
enum class Pass { forward, dQ, dKdV };

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

  int group() const {
    return Hq / Hkv;
  }
  Mask mask() const {
    return {Nq, Nk, causal};
  }
  // The sequence that the pass cuts into work items, and the one that each item
  // runs along: rows and columns of the score matrix, or the reverse.
  bool by_rows() const {
    return pass != Pass::dKdV;
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
  return pass == Pass::forward ? 2 : pass == Pass::dQ ? 3 : 4;
}

} // namespace tessera
