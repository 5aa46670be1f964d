#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

// Instruction sets that the CPU kernel is compiled for, weakest first; neon is
// ARM's, the rest x86's. amx is AVX-512 with Intel's unit for matrices of
// bfloat16.
enum class Isa { portable, neon, avx2, avx512, avx512_bf16, amx };

constexpr std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::neon:
      return "neon";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
    case Isa::amx:
      return "amx";
    case Isa::portable:
      break;
  }
  return "portable";
}

// The register tiles of the two kinds of product: `rows` broadcast values
// against `vectors` vectors of `lanes` floats.
struct RegisterTile {
  int lanes = 0;
  int rows = 0; // of a tile of scores
  int vectors = 0;
  int sum_rows = 0; // of a sum over a tile of scores
  int sum_vectors = 0;
  int words = 1; // of the contracted axis, that a product takes at once

  // Queries of a panel of scores.
  constexpr int panel() const {
    return lanes * vectors;
  }
  // Features of a panel of a sum, and words of a panel of rows.
  constexpr int sum_panel() const {
    return lanes * sum_vectors;
  }
  // What keys and queries are counted in, so that no register tile is cut.
  constexpr int unit() const {
    return 2 * sum_rows;
  }
  bool operator==(const RegisterTile&) const = default;
};

// Accumulators, operands and one broadcast value fill 16 registers, or 32 of
// AVX-512 and NEON; a matrix of AMX has 16 rows of 16 words. `rows` divides
// unit(), and sum_rows divides panel().
constexpr RegisterTile register_tile(Isa isa) {
  switch (isa) {
    case Isa::amx:
      return {16, 16, 4, 16, 2, 16};
    case Isa::avx512_bf16:
    case Isa::avx512:
      return {16, 8, 3, 12, 2};
    case Isa::neon:
      return {4, 8, 3, 12, 2};
    case Isa::avx2:
      return {8, 4, 3, 6, 2};
    case Isa::portable:
      break;
  }
  return {4, 4, 3, 6, 2};
}

struct Device {
  Isa isa = Isa::portable;
  int threads = 1;
  std::size_t l2_bytes = std::size_t{1} << 20; // of one core
  std::string processor = ""; // its name; no plan depends on it

  bool operator==(const Device&) const = default;
};

} // namespace tessera
