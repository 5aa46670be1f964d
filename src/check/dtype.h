#pragma once

#include <mlx/mlx.h>

#include <optional>

#include "plan/problem.h"

namespace tessera {

namespace mx = mlx::core;

// The dtypes that attention takes; nothing for the others.
inline std::optional<Dtype> dtype_of(mx::Dtype dtype) {
  return dtype == mx::float32 ? std::optional(Dtype::float32)
      : dtype == mx::float16  ? std::optional(Dtype::float16)
      : dtype == mx::bfloat16 ? std::optional(Dtype::bfloat16)
                              : std::nullopt;
}

} // namespace tessera
