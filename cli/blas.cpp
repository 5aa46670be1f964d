#include "cli/blas.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace tessera::cli {

#if defined(__linux__) && defined(__x86_64__)

namespace {

constexpr auto variable = "OPENBLAS_CORETYPE";

// Kernels that use AVX2 at least, by OpenBLAS's names.
constexpr std::array<std::string_view, 6> modern = {
    "Haswell", "Excavator", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"};

bool is_modern(std::string_view kernels) {
  return std::find(modern.begin(), modern.end(), kernels) != modern.end();
}

} // namespace

void restart_with_fitting_kernels(char** argv) {
  using Name = char* (*)();
  const auto name =
      reinterpret_cast<Name>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  if (name == nullptr || std::getenv(variable) != nullptr ||
      is_modern(name()) || !__builtin_cpu_supports("avx2")) {
    return;
  }
  setenv(
      variable, __builtin_cpu_supports("avx512vl") ? "SKYLAKEX" : "HASWELL", 1);
  execv("/proc/self/exe", argv); // where that fails, slow kernels are left
}

#else

void restart_with_fitting_kernels(char**) {}

#endif

} // namespace tessera::cli
