#include "train/run/memory.h"

#include <mlx/mlx.h>
#include <sys/resource.h>

#include <fstream>
#include <string>

namespace tessera::train {

namespace mx = mlx::core;

namespace {

#ifdef __APPLE__
std::int64_t peak_resident_set() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss; // bytes
}
#else
// Not getrusage: there Linux carries the peak of the process that called exec
// over to this one.
std::int64_t peak_resident_set() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) {
      return kibibytes * 1024;
    }
  }
  return 0;
}
#endif

} // namespace

std::int64_t peak_memory() {
  return mx::default_device() == mx::Device::cpu
      ? peak_resident_set()
      : static_cast<std::int64_t>(mx::get_peak_memory());
}

double peak_memory_gib() {
  return static_cast<double>(peak_memory()) / (1 << 30);
}

} // namespace tessera::train
