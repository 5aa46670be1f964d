#pragma once

#include "backend/metal/schedule.h"
#include "tessera/kernel.h"

namespace tessera::bench {

// A case as a GPU of `family` is told of it, with the arrays of both passes.
metal::Call metal_call_of(const AttentionCase& c, metal::Family family);

// What MLX would launch for one kernel of it.
Kernels kernels_of(const metal::Call& call, metal::Pass pass);

} // namespace tessera::bench
