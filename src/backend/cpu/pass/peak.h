#pragma once

#include "backend/cpu/tile/product.h"

namespace tessera::cpu {

// Multiplies and adds in registers for `rounds` rounds, as the products do, and
// gives the number of floating point operations, 2 a product and sum.
template <class Target>
double multiply_add(int rounds) {
  using V = Vec<Target>;
  using F = typename V::F;
  constexpr int rows = Target::tile.sum_rows;
  constexpr int vectors = Target::tile.sum_vectors;
  // Makes a value new to the compiler, in its register.
  const auto renew = [](F& x) {
#if defined(__x86_64__)
    asm volatile("" : "+x"(x));
#else
    asm volatile("" : "+w"(x));
#endif
  };
  F sum[rows][vectors] = {};
  F left = V::broadcast(0.5f);
  F right[vectors];
  for (int j = 0; j < vectors; ++j) {
    right[j] = V::broadcast(0.25f);
    renew(right[j]);
  }
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < rows; ++i) {
      renew(left);
      for (int j = 0; j < vectors; ++j) {
        sum[i][j] = V::add_product(sum[i][j], left, right[j]);
      }
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < vectors; ++j) {
      renew(sum[i][j]);
    }
  }
  return 2.0 * Target::values_per_word * rounds * rows * vectors * V::lanes;
}

} // namespace tessera::cpu
