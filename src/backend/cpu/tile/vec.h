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
  typedef std::uint64_t Wide __attribute__((vector_size(lanes * 8)));
  typedef std::uint16_t H __attribute__((vector_size(lanes * 2)));
  typedef std::uint8_t B __attribute__((vector_size(lanes)));
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
  using Wide = typename VectorsOf<lanes>::Wide;
  using H = typename VectorsOf<lanes>::H;
  using B = typename VectorsOf<lanes>::B;

  static constexpr float log2e = 1.44269504f;
  static constexpr float ln2 = 0.693147181f;
  static constexpr float infinity = __builtin_inff();
  static constexpr float rounding_shift = 12582912.0f; // 1.5 * 2^23

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
  static U broadcast_bits(std::uint32_t x) {
    return x | U{};
  }
  // A word as it lies, whatever it holds.
  static F broadcast_word(const float* from) {
    return (F)broadcast_bits(load<std::uint32_t>(from));
  }
  // sum + left * right, words as the target multiplies them.
  static F add_product(F sum, F left, F right) {
    if constexpr (requires { Target::add_product(sum, left, right); }) {
      return Target::add_product(sum, left, right);
    }
    return sum + left * right;
  }
  static F max(F a, F b) {
    if constexpr (requires { Target::max(a, b); }) {
      return Target::max(a, b);
    }
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
  static float largest(F v) {
    float most = v[0];
    for (int i = 1; i < lanes; ++i) {
      most = v[i] > most ? v[i] : most;
    }
    return most;
  }
  // Lane i of the result: the sum of rows[i].
  static F sums(F (&rows)[lanes]) {
    return add_halves<lanes / 2>(rows);
  }
  static bool any(I truth) {
    if constexpr (requires { Target::any(truth); }) {
      return Target::any(truth);
    }
    std::int32_t some = 0;
    for (int i = 0; i < lanes; ++i) {
      some |= truth[i];
    }
    return some != 0;
  }
  // a / b within an ulp.
  static F divide(F a, F b) {
    if constexpr (requires { Target::divide(a, b); }) {
      return Target::divide(a, b);
    }
    return a / b;
  }

  // 2^x within 3 ulp for x <= 127, and exactly 0 below -127, so that what is
  // masked counts for nothing. Polynomial: 1 + x q(x), minimax over an interval
  // of length 1 (relative error 9e-8).
  static F exp2(F x) {
    if constexpr (requires { Target::exp2(x); }) {
      return Target::exp2(x);
    }
    const F low = broadcast(-127.0f);
    const F clamped = x < low ? low : x; // NaN stays
    const F shifted = clamped + rounding_shift;
    const F f = clamped - (shifted - rounding_shift);
    F p = broadcast(0.00132647273f);
    p = p * f + 0.00967151299f;
    p = p * f + 0.0555073358f;
    p = p * f + 0.240222424f;
    p = p * f + 0.693147004f;
    p = p * f + 1.0f;
    // At -127 p is 1, whose bits less 127 exponents are those of 0.
    return (F)((U)p + ((U)shifted << 23));
  }

  // Within 3 ulp: with E = exp(2 |x|) - 1, E / (E + 2). 2 |x| = n ln 2 + r, the
  // logarithm in two parts; E is made without cancellation from exp(r) - 1 and
  // 2^n - 1, with exp(r) - 1 = r + r^2 q(r), q minimax (relative error 2e-8).
  static F tanh(F x) {
    const F largest = broadcast(20.0f); // tanh(10) is 1 in float32
    const F wide = abs(x) + abs(x);
    const F a = wide > largest ? largest : wide; // NaN stays
    const F shifted = a * log2e + rounding_shift;
    const F whole = shifted - rounding_shift;
    const F r = (a - whole * 0.693145752f) - whole * 1.42860677e-6f;
    F q = broadcast(0.0013882396f);
    q = q * r + 0.008367181f;
    q = q * r + 0.041667223f;
    q = q * r + 0.16666539f;
    q = q * r + 0.49999997f;
    const F power = (F)(((U)shifted << 23) + 0x3f800000u);
    const F E = power * (r + (r * r) * q) + (power - 1.0f);
    const F y = divide(E, E + 2.0f);
    return (F)((U)y | ((U)x & 0x80000000u));
  }

  // rows[i][j] <-> rows[j][i].
  static void transpose(F (&rows)[lanes]) {
    transpose_blocks<1>(rows);
  }

  // GCC 12 converts in four steps what AVX-512 does in one.
  static U widen(H h) {
    if constexpr (requires { Target::widen(h); }) {
      return Target::widen(h);
    }
    return __builtin_convertvector(h, U);
  }
  static F from_half(H h) {
    if constexpr (requires { Target::from_half(h); }) {
      return Target::from_half(h);
    }
    const U u = widen(h);
    const U sign = (u & 0x8000u) << 16;
    const U bits = u & 0x7fffu;
    const U normal = (bits << 13) + 0x38000000u; // the exponent's bias, by 112
    const U special = (bits << 13) | 0x7f800000u;
    // Half subnormals are bits * 2^-24: as the last bits of a number near 1/2.
    const U subnormal = (U)((F)(bits | 0x3f000000u) - 0.5f);
    return (
        F)(sign |
           (bits >= 0x7c00u      ? special
                : bits < 0x0400u ? subnormal
                                 : normal));
  }
  static F from_bfloat(H h) {
    if constexpr (requires { Target::from_bfloat(h); }) {
      return Target::from_bfloat(h);
    }
    return (F)(widen(h) << 16);
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
  static U bfloat_bits(F x) {
    const U u = (U)x;
    const U rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const U quiet = (u >> 16) | 0x40u;
    return (u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
  }
  static H to_bfloat(F x) {
    return __builtin_convertvector(bfloat_bits(x), H);
  }

  // `count` bytes, `stride` apart; 0 behind them.
  static U load_bytes(
      const std::uint8_t* from, std::int64_t stride, int count) {
    if (stride == 1 && count == lanes) {
      return __builtin_convertvector(load<B>(from), U);
    }
    alignas(64) std::uint8_t values[lanes] = {};
    for (int i = 0; i < count; ++i) {
      values[i] = from[i * stride];
    }
    return __builtin_convertvector(load<B>(values), U);
  }

  // v, and -inf where a byte is 0.
  static F hide_where_zero(
      F v, const std::uint8_t* bytes, std::int64_t stride, int count) {
    if constexpr (requires { Target::hide_where_zero(v, bytes); }) {
      if (stride == 1 && count == lanes) {
        return Target::hide_where_zero(v, bytes);
      }
    }
    return load_bytes(bytes, stride, count) != 0u ? v : broadcast(-infinity);
  }

  static U load_bits(const Row& row, int first, int count) {
    alignas(64) std::uint16_t values[lanes] = {};
    const auto* from =
        static_cast<const std::uint16_t*>(row.data) + first * row.stride;
    if (row.stride == 1 && count == lanes) {
      return widen(load<H>(from));
    }
    for (int i = 0; i < count; ++i) {
      values[i] = from[i * row.stride];
    }
    return widen(load<H>(values));
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

  // Calls use(first, v) for each vector of a row's features, zeros behind the
  // last. What the row is like is asked once a row, which copying feels.
  template <class Use>
  [[gnu::always_inline]] static void each_vector(
      const Row& row, int features, Use use) {
    int f = 0;
    if (row.stride == 1 && row.dtype == Dtype::float32) {
      const auto* from = static_cast<const float*>(row.data);
      for (; f + lanes <= features; f += lanes) {
        use(f, load<F>(from + f));
      }
    } else if (row.stride == 1 && row.dtype == Dtype::bfloat16) {
      const auto* from = static_cast<const std::uint16_t*>(row.data);
      for (; f + lanes <= features; f += lanes) {
        use(f, from_bfloat(load<H>(from + f)));
      }
    } else if (row.stride == 1) {
      const auto* from = static_cast<const std::uint16_t*>(row.data);
      for (; f + lanes <= features; f += lanes) {
        use(f, from_half(load<H>(from + f)));
      }
    }
    for (; f < features; f += lanes) {
      const int rest = features - f;
      use(f, load_features(row, f, rest < lanes ? rest : lanes));
    }
  }

  // `count` (at most lanes) words of two values each, from word `first` on, of
  // a row of `features` 16-bit values; zeros behind the last value.
  static F load_pairs(const Row& row, int first, int count, int features) {
    alignas(64) std::uint16_t values[2 * lanes] = {};
    const auto* from =
        static_cast<const std::uint16_t*>(row.data) + 2 * first * row.stride;
    const int wanted =
        2 * (first + count) <= features ? 2 * count : features - 2 * first;
    if (row.stride == 1) {
      if (wanted == 2 * lanes) {
        return load<F>(from);
      }
      __builtin_memcpy(values, from, static_cast<std::size_t>(wanted) * 2);
    } else {
      for (int i = 0; i < wanted; ++i) {
        values[i] = from[i * row.stride];
      }
    }
    return load<F>(values);
  }

  // Two rows' features side by side in words: a's in the lower half.
  static F load_interleaved(const Row& a, const Row& b, int first, int count) {
    return (F)(load_bits(a, first, count) | load_bits(b, first, count) << 16);
  }

  // Floats -> the words that the target multiplies; to bfloat16, a's in the
  // lower half.
  static F pair(F a, F b) {
    if constexpr (requires { Target::pair(a, b); }) {
      return Target::pair(a, b);
    }
    return (F)(bfloat_bits(a) | bfloat_bits(b) << 16);
  }

  // To bfloat16.
  static H narrow(F x) {
    if constexpr (requires { Target::narrow(x); }) {
      return Target::narrow(x);
    }
    return to_bfloat(x);
  }

  // Rows that are written have stride 1.
  static void store_features(const Row& row, int first, int count, F v) {
    const auto size = size_of(row.dtype);
    auto* const to = static_cast<std::byte*>(row.data) +
        static_cast<std::size_t>(first) * size;
    // A copy of a length that the compiler does not know takes 30 cycles.
    const bool whole = count == lanes;
    alignas(64) std::byte packed[lanes * 4];
    std::byte* const at = whole ? to : packed;
    if (row.dtype == Dtype::float32) {
      store(at, v);
    } else {
      store(at, row.dtype == Dtype::float16 ? to_half(v) : to_bfloat(v));
    }
    if (!whole) {
      __builtin_memcpy(to, packed, static_cast<std::size_t>(count) * size);
    }
  }

 private:
  // Swaps blocks of `size` lanes with blocks of `size` rows, then larger ones.
  template <int size>
  static void transpose_blocks(F (&rows)[lanes]) {
    if constexpr (size < lanes) {
      I low, high;
      for (int l = 0; l < lanes; ++l) {
        const bool second = (l & size) != 0;
        low[l] = second ? lanes + l - size : l;
        high[l] = second ? lanes + l : l + size;
      }
      for (int i = 0; i < lanes; ++i) {
        if ((i & size) == 0) {
          const F a = rows[i];
          const F b = rows[i + size];
          rows[i] = shuffle(a, b, low);
          rows[i + size] = shuffle(a, b, high);
        }
      }
      transpose_blocks<2 * size>(rows);
    }
  }
  // Lanes l and l + size of row i, and of row i + size, are added into one row.
  template <int size>
  static F add_halves(F (&rows)[lanes]) {
    if constexpr (size == 0) {
      return rows[0];
    } else {
      I low, high;
      for (int l = 0; l < lanes; ++l) {
        const bool second = (l & size) != 0;
        low[l] = second ? lanes + l - size : l;
        high[l] = second ? lanes + l : l + size;
      }
      for (int i = 0; i < size; ++i) {
        rows[i] = shuffle(rows[i], rows[i + size], low) +
            shuffle(rows[i], rows[i + size], high);
      }
      return add_halves<size / 2>(rows);
    }
  }
  // Lane l of the result: lane index[l] of a, or index[l] - lanes of b.
  static F shuffle(F a, F b, I index) {
#if defined(__clang__)
    F r;
    for (int l = 0; l < lanes; ++l) {
      r[l] = index[l] < lanes ? a[index[l]] : b[index[l] - lanes];
    }
    return r;
#else
    return __builtin_shuffle(a, b, index);
#endif
  }
};

} // namespace tessera::cpu
