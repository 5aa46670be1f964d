#pragma once

#include <mlx/mlx.h>

namespace tessera::ops {

// silu(gate) * up, elementwise. Shazeer, "GLU Variants Improve Transformer"
// (2020), equation 6.
mlx::core::array swiglu(
    const mlx::core::array& gate, const mlx::core::array& up);

} // namespace tessera::ops
