#include "backend/cpu/isa/avx512_pair_verbs.h"
#include "backend/cpu/pass/kernels.h"

namespace tessera::cpu {

namespace {

struct Target : Avx512PairVerbs<Target> {
  static constexpr RegisterTile tile = register_tile(Isa::avx512_bf16);
};

} // namespace

const Kernels avx512_bf16_kernels = kernels_of<Target>();

} // namespace tessera::cpu
