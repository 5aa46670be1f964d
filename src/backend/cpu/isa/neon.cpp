#include "backend/cpu/pass/kernels.h"

namespace tessera::cpu {

namespace {

struct Target {
  static constexpr RegisterTile tile = register_tile(Isa::neon);
  static constexpr int values_per_word = 1;
};

} // namespace

const Kernels neon_kernels = kernels_of<Target>();

} // namespace tessera::cpu
