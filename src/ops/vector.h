#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

// A copy of a function for each vector width, chosen when the program starts.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define TESSERA_WIDEST \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TESSERA_WIDEST
#endif

namespace tessera::ops {

// Independent partial results, so that sums vectorise without reordering.
inline constexpr std::size_t lanes = 16;

inline double sum_of_lanes(const float* part) {
  double sum = 0;
  for (std::size_t j = 0; j < lanes; ++j) {
    sum += static_cast<double>(part[j]);
  }
  return sum;
}

// exp(x) for x <= 0 to 2 ulp, 0 below -87: 2^n * exp(r), n = round(x / ln 2),
// |r| <= ln 2 / 2, and Taylor's polynomial of exp(r) to the 7th power. Without
// branches or calls, so that loops over it vectorise.
inline float exp_of(float x) {
  constexpr float log2e = 1.44269504f;
  constexpr float ln2_high = 0.693359375f;
  constexpr float ln2_low = -2.12194440e-4f;
  constexpr float round_to_int = 12582912.0f; // 1.5 * 2^23
  float shifted = std::max(x, -87.0f) * log2e + round_to_int;
  float n = shifted - round_to_int;
  float r = std::max(x, -87.0f) - n * ln2_high - n * ln2_low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // The low bits of `shifted` hold n; n + 127 is the exponent of 2^n.
  auto bits = std::bit_cast<std::uint32_t>(shifted) + 127u;
  return x < -87.0f ? 0.0f : p * std::bit_cast<float>(bits << 23);
}

} // namespace tessera::ops
