#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

// Elements of simdgroup matrices, as shim/tessera/matrix.h numbers them.
namespace tessera::metal {

enum class Element { float32, float16, bfloat16 };

inline std::uint16_t bfloat_bits(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  if ((word & 0x7fffffffu) > 0x7f800000u)
    return static_cast<std::uint16_t>(word >> 16 | 0x40u);
  return static_cast<std::uint16_t>((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
}

inline float load_number(const void* data, unsigned i, Element type) {
  if (type == Element::float32)
    return static_cast<const float*>(data)[i];
  std::uint16_t bits;
  std::memcpy(&bits, static_cast<const char*>(data) + 2 * i, sizeof bits);
  if (type == Element::bfloat16)
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  return static_cast<float>(std::bit_cast<_Float16>(bits));
}

inline void store_number(void* data, unsigned i, Element type, float value) {
  if (type == Element::float32) {
    static_cast<float*>(data)[i] = value;
    return;
  }
  const std::uint16_t bits = type == Element::bfloat16
      ? bfloat_bits(value)
      : std::bit_cast<std::uint16_t>(static_cast<_Float16>(value));
  std::memcpy(static_cast<char*>(data) + 2 * i, &bits, sizeof bits);
}

} // namespace tessera::metal
