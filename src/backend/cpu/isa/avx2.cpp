#include "backend/cpu/pass/kernels.h"

namespace tessera::cpu {

namespace {

struct Target {
  static constexpr RegisterTile tile = register_tile(Isa::avx2);
  static constexpr int values_per_word = 1;
};

} // namespace

const Kernels avx2_kernels = kernels_of<Target>();

} // namespace tessera::cpu
