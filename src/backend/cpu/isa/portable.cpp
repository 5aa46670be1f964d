#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/tile/backward.h"
#include "backend/cpu/tile/forward.h"

namespace tessera::cpu {

namespace {

struct Target {
  static constexpr RegisterTile tile = register_tile(Isa::portable);
};

} // namespace

const Kernels portable_kernels = {
    forward<Target>,
    backward_dQ<Target>,
    backward_dKdV<Target>,
    row_dots<Target>};

} // namespace tessera::cpu
