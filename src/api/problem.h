#pragma once

#include <mlx/mlx.h>

#include <optional>

#include "plan/problem.h"

namespace tessera {

namespace mx = mlx::core;

// The dtypes that attention takes; nothing for the others.
std::optional<Dtype> dtype_of(mx::Dtype dtype);

// The problem that Q, K and V pose. Throws InputError, under the name
// "attention", where they do not fit together.
Problem problem_of(
    Pass pass,
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    bool causal);

} // namespace tessera
