#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/task.h"

namespace tessera::cpu {

// GCC takes a vector's size from a template argument in a typedef alone.
template <int lanes>
struct VectorsOf {
  typedef float F __attribute__((vector_size(lanes * 4)));
  typedef std::int32_t I __attribute__((vector_size(lanes * 4)));
  typedef std::uint32_t U __attribute__((vector_size(lanes * 4)));
  typedef std::uint16_t H __attribute__((vector_size(lanes * 2)));
};

// The vector verbs, on vectors of as many floats as the target has lanes. A
// target is a type local to the file that is compiled for an instruction set:
// all that depends on it stays in that file, and no other code can be linked to
// instructions that the machine may lack.
template <class Target>
struct Vec {
  static constexpr int lanes = Target::tile.lanes;

  using F = typename VectorsOf<lanes>::F;
  using I = typename VectorsOf<lanes>::I;
  using U = typename VectorsOf<lanes>::U;
  using H = typename VectorsOf<lanes>::H;

  static constexpr float log2e = 1.44269504f;
  static constexpr float infinity = __builtin_inff();

  template <class T>
  static T load(const void* from) {
    T v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  template <class T>
  static void store(void* to, T v) {
    __builtin_memcpy(to, &v, sizeof v);
  }
  // x - 0 is x, -0 included.
  static F broadcast(float x) {
    return x - F{};
  }
  static F max(F a, F b) {
    return a < b ? b : a;
  }
  static F abs(F x) {
    return (F)((U)x & 0x7fffffffu);
  }
  static I iota() {
    I v;
    for (int i = 0; i < lanes; ++i) {
      v[i] = i;
    }
    return v;
  }
  static float sum(F v) {
    float total = 0;
    for (int i = 0; i < lanes; ++i) {
      total += v[i];
    }
    return total;
  }

  // 2^x within 2 ulp; 0 below -126, so that masked scores give an exact 0.
  // Range reduction to [-1/2, 1/2], then (2^f - 1) / f interpolated at the six
  // Chebyshev nodes (relative error 1e-8).
  static F exp2(F x) {
    const F low = broadcast(-126.0f);
    const F high = broadcast(127.0f);
    const F clamped = x < low ? low : x > high ? high : x;
    constexpr float shift = 12582912.0f; // 1.5 * 2^23: rounds to a whole number
    const F shifted = clamped + shift;
    const F f = clamped - (shifted - shift);
    F p = broadcast(0.000154531634f);
    p = p * f + 0.00133908633f;
    p = p * f + 0.00961808302f;
    p = p * f + 0.0555035695f;
    p = p * f + 0.240226507f;
    p = p * f + 0.693147182f;
    p = p * f + 1.0f;
    const F y = (F)((U)p + ((U)shifted << 23));
    return x < low ? F{} : y;
  }

  static F from_half(H h) {
    const U u = __builtin_convertvector(h, U);
    const U sign = (u & 0x8000u) << 16;
    const U magnitude = (u & 0x7fffu) << 13;
    // 2^112 moves the exponent's bias, and makes subnormals normal.
    const U finite = (U)((F)magnitude * 0x1p112f);
    const U special = magnitude | 0x7f800000u;
    return (F)(sign | (magnitude >= 0x0f800000u ? special : finite));
  }
  static F from_bfloat(H h) {
    return (F)(__builtin_convertvector(h, U) << 16);
  }

  // Round to nearest even; overflow gives inf, NaN stays NaN.
  static H to_half(F x) {
    const U sign = ((U)x >> 16) & 0x8000u;
    const U u = (U)abs(x);
    const U special = u > 0x7f800000u ? (U{} + 0x7e00u) : (U{} + 0x7c00u);
    // Adding 1/2 leaves the bits of a subnormal half at the bottom.
    const U subnormal = (U)((F)u + 0.5f) - 0x3f000000u;
    const U normal = (u - 0x38000000u + 0xfffu + ((u >> 13) & 1u)) >> 13;
    const U r = u >= 0x47800000u ? special
        : u < 0x38800000u        ? subnormal
                                 : normal;
    return __builtin_convertvector(r | sign, H);
  }
  static H to_bfloat(F x) {
    const U u = (U)x;
    const U rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const U quiet = (u >> 16) | 0x40u;
    return __builtin_convertvector(
        (u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded, H);
  }

  // `count` (at most lanes) features of a row from feature `first` on, zeros
  // behind them; and back.
  static F load_features(const Row& row, int first, int count) {
    const auto size = size_of(row.dtype);
    const auto* from = static_cast<const std::byte*>(row.data) +
        first * row.stride * static_cast<std::int64_t>(size);
    alignas(64) std::byte gathered[lanes * 4];
    if (row.stride != 1 || count < lanes) {
      __builtin_memset(gathered, 0, sizeof gathered);
      const auto step = row.stride * static_cast<std::int64_t>(size);
      for (int i = 0; i < count; ++i) {
        __builtin_memcpy(
            gathered + static_cast<std::size_t>(i) * size,
            from + i * step,
            size);
      }
      from = gathered;
    }
    switch (row.dtype) {
      case Dtype::float16:
        return from_half(load<H>(from));
      case Dtype::bfloat16:
        return from_bfloat(load<H>(from));
      case Dtype::float32:
        break;
    }
    return load<F>(from);
  }

  // Rows that are written have stride 1.
  static void store_features(const Row& row, int first, int count, F v) {
    const auto size = size_of(row.dtype);
    alignas(64) std::byte packed[lanes * 4];
    if (row.dtype == Dtype::float32) {
      store(packed, v);
    } else {
      store(packed, row.dtype == Dtype::float16 ? to_half(v) : to_bfloat(v));
    }
    __builtin_memcpy(
        static_cast<std::byte*>(row.data) +
            static_cast<std::size_t>(first) * size,
        packed,
        static_cast<std::size_t>(count) * size);
  }
};

} // namespace tessera::cpu
