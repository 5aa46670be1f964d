#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "plan/problem.h"

// The three element types by their definition (IEEE 754, and bfloat16 as the
// upper half of a binary32), without any conversion of the library's.
namespace tessera::test {

struct Format {
  int precision;    // bits of the significand, the hidden one included
  int min_exponent; // of the smallest normal number
  double largest;
};

inline Format format(Dtype dtype) {
  switch (dtype) {
    case Dtype::float16:
      return {11, -14, 65504.0};
    case Dtype::bfloat16:
      return {8, -126, 0x1.fep127};
    case Dtype::float32:
      break;
  }
  return {24, -126, std::numeric_limits<float>::max()};
}

// The distance from 1 to the next number.
inline double epsilon(Dtype dtype) {
  return std::ldexp(1.0, 1 - format(dtype).precision);
}

// The distance from a number to the next larger one; 0 of what is not finite.
inline double ulp(double x, Dtype dtype) {
  if (!std::isfinite(x)) {
    return 0;
  }
  const Format f = format(dtype);
  const int exponent =
      x == 0 ? f.min_exponent : std::max(std::ilogb(x), f.min_exponent);
  return std::ldexp(1.0, exponent - f.precision + 1);
}

// The nearest number of the format, ties to even.
inline double rounded(double x, Dtype dtype) {
  if (x == 0 || !std::isfinite(x)) {
    return x;
  }
  const Format f = format(dtype);
  const double unit = ulp(x, dtype);
  const double y = std::nearbyint(x / unit) * unit;
  return std::abs(y) > f.largest ? std::copysign(INFINITY, x) : y;
}

// The bits of a number that the format has.
inline std::uint32_t encode(double x, Dtype dtype) {
  std::uint32_t bits = 0;
  const float single = static_cast<float>(x);
  std::memcpy(&bits, &single, 4);
  if (dtype == Dtype::float32) {
    return bits;
  }
  if (dtype == Dtype::bfloat16) {
    return bits >> 16;
  }
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  if (std::isnan(x)) {
    return sign | 0x7e00u;
  }
  if (std::isinf(x)) {
    return sign | 0x7c00u;
  }
  const double magnitude = std::abs(x);
  if (magnitude < 0x1p-14) {
    return sign | static_cast<std::uint32_t>(magnitude * 0x1p24);
  }
  const int exponent = std::ilogb(magnitude);
  const double fraction = std::ldexp(magnitude, 10 - exponent) - 1024;
  return sign | static_cast<std::uint32_t>(exponent + 15) << 10 |
      static_cast<std::uint32_t>(fraction);
}

inline double decode(std::uint32_t bits, Dtype dtype) {
  if (dtype == Dtype::float16) {
    const double sign = (bits & 0x8000u) != 0 ? -1 : 1;
    const int exponent = static_cast<int>(bits >> 10 & 31u);
    const double fraction = static_cast<double>(bits & 1023u);
    if (exponent == 31) {
      return fraction == 0 ? sign * INFINITY : NAN;
    }
    return exponent == 0 ? sign * std::ldexp(fraction, -24)
                         : sign * std::ldexp(1024 + fraction, exponent - 25);
  }
  const std::uint32_t word = dtype == Dtype::bfloat16 ? bits << 16 : bits;
  float single = 0;
  std::memcpy(&single, &word, 4);
  return static_cast<double>(single);
}

inline void write(void* to, double x, Dtype dtype) {
  const std::uint32_t bits = encode(rounded(x, dtype), dtype);
  if (dtype == Dtype::float32) {
    std::memcpy(to, &bits, 4);
  } else {
    const auto half = static_cast<std::uint16_t>(bits);
    std::memcpy(to, &half, 2);
  }
}

inline double read(const void* from, Dtype dtype) {
  std::uint32_t bits = 0;
  if (dtype == Dtype::float32) {
    std::memcpy(&bits, from, 4);
  } else {
    std::uint16_t half = 0;
    std::memcpy(&half, from, 2);
    bits = half;
  }
  return decode(bits, dtype);
}

} // namespace tessera::test
