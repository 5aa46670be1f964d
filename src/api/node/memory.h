#pragma once

#include <mlx/allocator.h>

#include <cstddef>

namespace tessera {

// From here on MLX on the CPU keeps freed arrays for later ones of their size,
// which then cause no page faults (an eighth of a training step's processor
// time), as long as those in use and those kept are no more than `most` bytes;
// 0: it keeps none.
void keep_freed_arrays(std::size_t most);

// What MLX's allocator gives: a buffer that frees itself, before 0.32.4 a plain
// one.
using Allocation = decltype(mlx::core::allocator::malloc(0));

// Memory for an output or a workspace of a node. Where freed arrays are kept,
// the oldest go back to the system until there is room for it.
Allocation allocate(std::size_t bytes);

} // namespace tessera
