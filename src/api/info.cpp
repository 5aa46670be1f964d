#include "tessera/info.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <mlx/backend/cuda/cuda.h>
#include <mlx/backend/metal/metal.h>
#include <mlx/mlx.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "api/gpu.h"
#include "api/node/cpu_call.h"

namespace tessera {
namespace {

namespace mx = mlx::core;

// Asks the dynamic linker where cblas_sgemm comes from, since that is what MLX
// calls: what was linked or installed does not tell.
std::string blas_library() {
  void* symbol = dlsym(RTLD_DEFAULT, "cblas_sgemm");
  Dl_info where{};
  if (symbol == nullptr || dladdr(symbol, &where) == 0) {
    return "unknown";
  }
  return std::filesystem::path(where.dli_fname).filename().string();
}

std::string blas_kernels() {
  void* symbol = dlsym(RTLD_DEFAULT, "openblas_get_corename");
  return symbol == nullptr ? "" : reinterpret_cast<char* (*)()>(symbol)();
}

// By its name and architecture, as MLX tells them.
std::string gpu() {
  const auto name = gpu_fact("device_name");
  return name.empty() ? ""
                      : fmt::format("{} ({})", name, gpu_fact("architecture"));
}

std::vector<std::string> backends() {
  std::vector<std::string> names = {"cpu"};
  if (mx::metal::is_available()) {
    names.push_back("metal");
  }
  if (mx::cu::is_available()) {
    names.push_back("cuda");
  }
  return names;
}

} // namespace

SystemInfo system_info() {
  SystemInfo info;
  info.mlx_version = mx::version();
  info.device = mx::default_device() == mx::Device::gpu ? "gpu" : "cpu";
  info.backends = backends();
  const auto& device = cpu_device();
  info.processor = device.processor;
  info.instruction_set = name(device.isa);
  info.threads = device.threads;
  info.memory_gib = static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
      static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 30);
  info.gpu = gpu();
  info.blas = blas_library();
  info.blas_kernels = blas_kernels();
  return info;
}

double matmul_rate(int n, int repeats) {
  const auto A = mx::random::normal({n, n});
  const auto B = mx::random::normal({n, n});
  mx::eval(A, B, mx::matmul(A, B));
  double best = 0.0;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    mx::eval(mx::matmul(A, B));
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * n * n * n / took.count() / 1e9);
  }
  return best;
}

} // namespace tessera
