#pragma once

#include <mlx/mlx.h>

namespace tessera::ops {

// Ours run on the CPU and in float32; elsewhere MLX's own ops are the fast
// ones.
inline bool is_ours(mlx::core::Dtype dtype) {
  namespace mx = mlx::core;
  return dtype == mx::float32 &&
      mx::default_stream(mx::default_device()).device == mx::Device::cpu;
}

} // namespace tessera::ops
