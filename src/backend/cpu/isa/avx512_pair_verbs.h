#pragma once

#include "backend/cpu/isa/avx512_verbs.h"

namespace tessera::cpu {

// Verbs where a word is a pair of bfloat16: the processor sums the products of
// two pairs in float32.
template <class Target>
struct Avx512PairVerbs : Avx512Verbs<Target> {
  static constexpr int values_per_word = 2;

  using F = typename VectorsOf<16>::F;
  using H = typename VectorsOf<16>::H;
  using U = typename VectorsOf<16>::U;

  static F add_product(F sum, F left, F right) {
    return (F)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
  }
  static H narrow(F x) {
    return (H)_mm512_cvtneps_pbh((__m512)x);
  }
  static F pair(F a, F b) {
    const auto low = __builtin_convertvector(narrow(a), U);
    const auto high = __builtin_convertvector(narrow(b), U);
    return (F)(low | high << 16);
  }
};

} // namespace tessera::cpu
