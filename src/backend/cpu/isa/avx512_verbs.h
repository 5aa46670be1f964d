#pragma once

#include <immintrin.h>

#include "backend/cpu/tile/vec.h"

namespace tessera::cpu {

// Verbs that AVX-512 has as instructions. A template, so that each file that is
// compiled for the instruction set has its own.
template <class Target>
struct Avx512Verbs {
  using F = typename VectorsOf<16>::F;
  using I = typename VectorsOf<16>::I;

  using H = typename VectorsOf<16>::H;
  using U = typename VectorsOf<16>::U;

  static U widen(H h) {
    return (U)_mm512_cvtepu16_epi32((__m256i)h);
  }
  static F from_half(H h) {
    return (F)_mm512_cvtph_ps((__m256i)h);
  }
  static F hide_where_zero(F v, const std::uint8_t* bytes) {
    __m128i b;
    __builtin_memcpy(&b, bytes, sizeof b);
    return (F)_mm512_mask_blend_ps(
        _mm_test_epi8_mask(b, b), _mm512_set1_ps(-__builtin_inff()), (__m512)v);
  }
  // NaN in b stays.
  static F max(F a, F b) {
    return (F)_mm512_max_ps((__m512)a, (__m512)b);
  }
  static bool any(I truth) {
    return _mm512_test_epi32_mask((__m512i)truth, (__m512i)truth) != 0;
  }
  // Within an ulp: an approximation to 14 bits, a Newton step, and the
  // remainder. Division proper takes 16 cycles.
  static F divide(F a, F b) {
    const F r0 = (F)_mm512_rcp14_ps((__m512)b);
    const F r = r0 + r0 * (1.0f - b * r0);
    const F q = a * r;
    return q + r * (a - b * q);
  }
  // 2^x = 2^floor(x) p(x - floor(x)): the instructions split and scale, and
  // give 0 for -inf.
  static F exp2(F x) {
    const F f = (F)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF);
    F p = F{} + 0.00186713f;
    p = p * f + 0.009017031f;
    p = p * f + 0.055799913f;
    p = p * f + 0.24016444f;
    p = p * f + 0.6931513f;
    p = p * f + 1.0f;
    return (F)_mm512_scalef_ps((__m512)p, (__m512)x);
  }
};

} // namespace tessera::cpu
