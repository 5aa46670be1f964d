#pragma once

#include <array>

#include "backend/cpu/isa/avx512_verbs.h"

namespace tessera::cpu {

// Verbs where a word is a pair of bfloat16: the processor sums the products of
// two pairs in float32.
template <class Target>
struct Avx512PairVerbs : Avx512Verbs<Target> {
  static constexpr int values_per_word = 2;

  using F = typename VectorsOf<16>::F;
  using H = typename VectorsOf<16>::H;

  static F add_product(F sum, F left, F right) {
    return (F)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
  }
  static H narrow(F x) {
    return (H)_mm512_cvtneps_pbh((__m512)x);
  }
  // Converted one behind the other, then lane l of a beside lane l of b.
  static F pair(F a, F b) {
    alignas(64) static constexpr auto order = [] {
      std::array<std::uint16_t, 32> from{};
      for (std::uint16_t lane = 0; lane < 16; ++lane) {
        from[2 * lane] = lane;
        from[2 * lane + 1] = lane + 16;
      }
      return from;
    }();
    const auto both = (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
    return (F)_mm512_permutexvar_epi16(_mm512_load_si512(order.data()), both);
  }
};

} // namespace tessera::cpu
