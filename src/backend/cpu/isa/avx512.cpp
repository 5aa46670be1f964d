#include "backend/cpu/isa/avx512_verbs.h"
#include "backend/cpu/pass/kernels.h"

namespace tessera::cpu {

namespace {

struct Target : Avx512Verbs<Target> {
  static constexpr RegisterTile tile = register_tile(Isa::avx512);
  static constexpr int values_per_word = 1;
};

} // namespace

const Kernels avx512_kernels = kernels_of<Target>();

} // namespace tessera::cpu
