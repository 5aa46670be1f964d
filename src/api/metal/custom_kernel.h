#pragma once

#include <mlx/mlx.h>
#include <mlx/primitives.h>

#include <memory>
#include <vector>

#include "backend/metal/launch.h"

namespace tessera {

namespace mx = mlx::core;

mx::Dtype dtype_of(metal::Element element);
mx::Shape shape_of(const metal::Array& array);

// The node of MLX's graph that a launch is: MLX's own text for it, signature
// included. Where MLX is built without Metal it is recorded, not compiled: MLX
// does so while a function is exported.
std::shared_ptr<mx::Primitive> custom_kernel(
    const metal::Launch& launch, mx::StreamOrDevice stream);

} // namespace tessera
