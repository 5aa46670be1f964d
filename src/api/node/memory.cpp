#include "api/node/memory.h"

#include <mlx/memory.h>

#include <algorithm>
#include <atomic>
#include <limits>

namespace tessera {

namespace mx = mlx::core;

namespace {

// MLX's own limit bounds what is kept alone, whatever is in use beside it: the
// sum is bounded here instead.
constexpr auto unlimited = std::numeric_limits<std::size_t>::max();

std::atomic<std::size_t> most_held = 0;

} // namespace

void keep_freed_arrays(std::size_t most) {
  most_held = most;
  mx::set_cache_limit(most == 0 ? 0 : unlimited);
}

Allocation allocate(std::size_t bytes) {
  auto data = mx::allocator::malloc(bytes);
  const std::size_t most = most_held;
  const std::size_t used = mx::get_active_memory();
  if (most > 0 && used + mx::get_cache_memory() > most) {
    mx::set_cache_limit(most - std::min(most, used));
    mx::set_cache_limit(unlimited);
  }
  return data;
}

} // namespace tessera
