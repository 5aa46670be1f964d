#include "train/memory/machine.h"

#include <mlx/mlx.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "api/node/memory.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>
#endif

namespace tessera::train {

namespace mx = mlx::core;

namespace {

bool on_cpu() {
  return mx::default_device() == mx::Device::cpu;
}

#ifdef __APPLE__

std::int64_t peak_resident_set() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss; // bytes
}

std::int64_t resident_set() {
  mach_task_basic_info info{};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  task_info(
      mach_task_self(),
      MACH_TASK_BASIC_INFO,
      reinterpret_cast<task_info_t>(&info),
      &count);
  return static_cast<std::int64_t>(info.resident_size);
}

std::int64_t available_to_process() {
  std::int64_t bytes = 0;
  std::size_t size = sizeof(bytes);
  sysctlbyname("hw.memsize", &bytes, &size, nullptr, 0);
  return bytes;
}

#else

// The number of kibibytes behind `name` in a file of the proc file system.
std::optional<std::int64_t> kibibytes_of(const char* file, const char* name) {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    std::int64_t kibibytes = 0;
    if (word == name && in >> kibibytes) {
      return kibibytes * 1024;
    }
  }
  return std::nullopt;
}

// Not getrusage: there Linux carries the peak of the process that called exec
// over to this one.
std::int64_t peak_resident_set() {
  return kibibytes_of("/proc/self/status", "VmHWM:").value_or(0);
}

std::int64_t resident_set() {
  return kibibytes_of("/proc/self/status", "VmRSS:").value_or(0);
}

// The first number in a file; "max" is none.
std::optional<std::int64_t> number_in(const char* file) {
  std::ifstream in(file);
  std::int64_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

// Control groups, version 2, then 1.
std::optional<std::int64_t> left_to_group() {
  for (const auto& [limit, used] :
       {std::pair{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        std::pair{
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const auto most = number_in(limit);
    const auto now = number_in(used);
    if (most && now) {
      return *most - *now;
    }
  }
  return std::nullopt;
}

std::int64_t available_to_process() {
  const auto free = kibibytes_of("/proc/meminfo", "MemAvailable:");
  if (!free) {
    return 0;
  }
  const auto left = std::min(*free, left_to_group().value_or(*free));
  return resident_set() + std::max<std::int64_t>(left, 0);
}

#endif

std::int64_t recommended_by_device() {
  const auto& info = mx::device_info(mx::default_device());
  for (const char* key :
       {"max_recommended_working_set_size", "total_memory", "memory_size"}) {
    if (const auto found = info.find(key); found != info.end()) {
      if (const auto* bytes = std::get_if<std::size_t>(&found->second)) {
        return static_cast<std::int64_t>(*bytes);
      }
    }
  }
  return 0;
}

} // namespace

std::int64_t peak_memory() {
  return on_cpu() ? peak_resident_set()
                  : static_cast<std::int64_t>(mx::get_peak_memory());
}

double gib(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 30);
}

double peak_memory_gib() {
  return gib(peak_memory());
}

std::int64_t held_memory() {
  return on_cpu() ? resident_set()
                  : static_cast<std::int64_t>(mx::get_active_memory());
}

std::int64_t available_memory() {
  return on_cpu() ? available_to_process() : recommended_by_device();
}

void return_freed_memory() {
  if (on_cpu()) {
    keep_freed_arrays(0); // MLX's 32 MiB held up to 90 more
  }
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

std::size_t most_kept(const MemoryPrediction& predicted) {
  // What BLAS packs into, and MLX's own ops make between two nodes of ours: up
  // to 36 MiB above the prediction where it was left out. A small run would
  // exceed its prediction by a tenth, and gains little. An update of all
  // parameters makes as much anew, by MLX's own ops alone: kept arrays stood
  // 10 % above the prediction beside it.
  constexpr std::int64_t beside = 96 << 20;
  constexpr std::int64_t small = 512 << 20;
  const auto arrays = predicted.arrays();
  const bool adapts = predicted.trained + predicted.optimizer <= arrays / 4;
  return arrays >= small && adapts ? static_cast<std::size_t>(arrays - beside)
                                   : 0;
}

KeptMemory::KeptMemory(const MemoryPrediction& predicted) {
  keep_freed_arrays(most_kept(predicted));
}

KeptMemory::~KeptMemory() {
  keep_freed_arrays(0);
}

std::int64_t cached_memory() {
  return on_cpu() ? 0 : static_cast<std::int64_t>(mx::get_cache_memory());
}

} // namespace tessera::train
