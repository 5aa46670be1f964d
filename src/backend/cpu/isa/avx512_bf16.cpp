#include "backend/cpu/isa/avx512_verbs.h"
#include "backend/cpu/pass/kernels.h"

namespace tessera::cpu {

namespace {

// A word is a pair of bfloat16; the processor sums the products of two pairs in
// float32.
struct Target : Avx512Verbs<Target> {
  static constexpr RegisterTile tile = register_tile(Isa::avx512_bf16);
  static constexpr int values_per_word = 2;

  using H = typename VectorsOf<16>::H;

  static F add_product(F sum, F left, F right) {
    return (F)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
  }
  static H narrow(F x) {
    return (H)_mm512_cvtneps_pbh((__m512)x);
  }
  static F pair(F a, F b) {
    const auto low =
        __builtin_convertvector(narrow(a), typename VectorsOf<16>::U);
    const auto high =
        __builtin_convertvector(narrow(b), typename VectorsOf<16>::U);
    return (F)(low | high << 16);
  }
};

} // namespace

const Kernels avx512_bf16_kernels = kernels_of<Target>();

} // namespace tessera::cpu
