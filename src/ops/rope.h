#pragma once

#include <mlx/mlx.h>

#include <vector>

namespace tessera::ops {

// Cosine and sine of each rotation, [B or 1, N, D / 2] float32.
struct Rotation {
  mlx::core::array cosine;
  mlx::core::array sine;
};

// Of positions [B or 1, N] (int32), by the wavelength / 2 pi of each of the
// D / 2 pairs of features.
Rotation rotation_of(
    const mlx::core::array& positions, const std::vector<float>& wavelengths);

// x [B, N, H * D], heads side by side: turns feature d with feature d + D / 2
// of each head. Su et al., "RoFormer" (2021), section 3.2.2, in the pairing of
// GPT-NeoX.
mlx::core::array rope(
    const mlx::core::array& x, int head_dim, const Rotation& rotation);

} // namespace tessera::ops
