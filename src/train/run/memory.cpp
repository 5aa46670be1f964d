#include "train/run/memory.h"

#include <mlx/mlx.h>
#include <sys/resource.h>

namespace tessera::train {

namespace mx = mlx::core;

std::int64_t peak_memory() {
  if (mx::default_device() != mx::Device::cpu) {
    return static_cast<std::int64_t>(mx::get_peak_memory());
  }
#ifdef __APPLE__
  constexpr std::int64_t unit = 1; // bytes
#else
  constexpr std::int64_t unit = 1024; // getrusage(2): kilobytes
#endif
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * unit;
}

double peak_memory_gib() {
  return static_cast<double>(peak_memory()) / (1 << 30);
}

} // namespace tessera::train
