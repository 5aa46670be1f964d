#pragma once

#include <cstddef>
#include <string_view>

namespace tessera {

// Instruction sets that the CPU kernel is compiled for, weakest first.
enum class Isa { portable, avx2, avx512 };

constexpr std::string_view name(Isa isa) {
  return isa == Isa::portable ? "portable"
      : isa == Isa::avx2      ? "avx2"
                              : "avx512";
}

// The register tile: `rows` broadcast values against `vectors` vectors of
// `lanes` floats. `rows` divides `lanes`.
struct RegisterTile {
  int lanes = 0;
  int rows = 0;
  int vectors = 0;

  constexpr int width() const {
    return lanes * vectors;
  }
  bool operator==(const RegisterTile&) const = default;
};

// rows * vectors accumulators, `vectors` operands and one broadcast value fill
// 16 registers, or 32 of AVX-512.
constexpr RegisterTile register_tile(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return {16, 8, 3};
    case Isa::avx2:
      return {8, 4, 3};
    case Isa::portable:
      break;
  }
  return {4, 4, 2};
}

struct Device {
  Isa isa = Isa::portable;
  int threads = 1;
  std::size_t l2_bytes = std::size_t{1} << 20; // of one core

  bool operator==(const Device&) const = default;
};

} // namespace tessera
