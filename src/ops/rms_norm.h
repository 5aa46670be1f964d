#pragma once

#include <mlx/mlx.h>

namespace tessera::ops {

// x * w / sqrt(mean(x^2) + eps) over the last axis, w [width]. Zhang and
// Sennrich, "Root Mean Square Layer Normalization" (2019), equation 4.
mlx::core::array rms_norm(
    const mlx::core::array& x, const mlx::core::array& w, float eps);

} // namespace tessera::ops
