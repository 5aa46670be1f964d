#pragma once

#include <string>
#include <vector>

namespace tessera {

// What this program runs on.
struct SystemInfo {
  std::string mlx_version;
  std::string device;                // MLX's default: "cpu" or "gpu"
  std::vector<std::string> backends; // those this MLX was built with
  std::string processor;
  std::string instruction_set; // of Tessera's CPU kernels
  int threads = 0;
  double memory_gib = 0.0; // of the machine
  std::string gpu; // that MLX uses: "Apple M2 (applegpu_g14g)"; "" without one
  // The library that MLX's float32 matmul lands in, by its file's name, and
  // the kernels it picked where it tells (OpenBLAS does).
  std::string blas;
  std::string blas_kernels;
};

SystemInfo system_info();

// GF/s of MLX's float32 matmul of two n x n matrices on its default device: the
// best of `repeats`, after one that warms up.
double matmul_rate(int n = 2048, int repeats = 3);

} // namespace tessera
