#pragma once

#include <mlx/mlx.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera::ops {

// What LoRA adds to a linear module.
struct LowRank {
  mlx::core::array A; // [in, rank]
  mlx::core::array B; // [rank, out]
  // Sets the draws of this module's dropout apart from the others'.
  std::uint64_t seed = 0;
};

struct Linear {
  mlx::core::array W;                   // [out, in]
  std::optional<mlx::core::array> bias; // [out]
  std::optional<LowRank> low_rank;
};

struct LowRankFactors {
  float scale = 1.0f;
  // Probability that an element of x is left out on its way into A.
  float dropout = 0.0f;
};

// Of each module of `modules`, which read the same x [..., in]:
//   x W^T + bias + scale * (dropped(x) A) B   [..., out]
// Hu et al., "LoRA" (2021), equation 3. One node for all of them, so that the
// gradients by x are summed as they are made. Dropout is drawn again in the
// backward pass and never stored. Differentiable by x, W, bias, A and B.
std::vector<mlx::core::array> linear(
    const mlx::core::array& x,
    const std::vector<Linear>& modules,
    const LowRankFactors& factors = {});

} // namespace tessera::ops
