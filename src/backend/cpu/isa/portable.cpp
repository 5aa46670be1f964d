#include "backend/cpu/pass/kernels.h"

namespace tessera::cpu {

namespace {

struct Target {
  static constexpr RegisterTile tile = register_tile(Isa::portable);
  static constexpr int values_per_word = 1;
};

} // namespace

const Kernels portable_kernels = kernels_of<Target>();

} // namespace tessera::cpu
