#include "backend/cpu/isa/amx_product.h"
#include "backend/cpu/isa/avx512_pair_verbs.h"
#include "backend/cpu/pass/kernels.h"

namespace tessera::cpu {

namespace {

struct Target : Avx512PairVerbs<Target> {
  static constexpr RegisterTile tile = register_tile(Isa::amx);
};

} // namespace

// All products of tiles go to the matrix unit.
template <>
struct Product<Target> : AmxProduct<Target> {};

namespace {

constexpr Kernels kernels() {
  Kernels all = kernels_of<Target>();
  all.multiply_add = amx_multiply_add;
  return all;
}

} // namespace

const Kernels amx_kernels = kernels();

} // namespace tessera::cpu
