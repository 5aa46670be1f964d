#pragma once

#include <cstdint>

namespace tessera::ops {

// A matrix in float32, row-major, rows `stride` floats apart; or its transpose.
struct Matrix {
  const float* data = nullptr;
  std::int64_t stride = 0;
  bool transposed = false;
};

inline Matrix transpose(Matrix x) {
  x.transposed = !x.transposed;
  return x;
}

// Sizes of a product [M, K] x [K, N].
struct Sizes {
  std::int64_t M = 0;
  std::int64_t N = 0;
  std::int64_t K = 0;
};

enum class Into { new_values, sum };

// C = alpha * A B, or C += alpha * A B, C [M, N] with rows `stride` apart. On
// the calling thread alone while a SerialBlas lives.
void gemm(
    const Sizes& sizes,
    float alpha,
    const Matrix& A,
    const Matrix& B,
    Into into,
    float* C,
    std::int64_t stride);

// While it lives, BLAS keeps to the thread that calls it: rows are shared among
// our threads instead. OpenBLAS's own threads spin for 0.1 s after each product
// and take half of two cores from what comes next.
class SerialBlas {
 public:
  SerialBlas();
  ~SerialBlas();
  SerialBlas(const SerialBlas&) = delete;
  SerialBlas& operator=(const SerialBlas&) = delete;

 private:
  int before_ = 1;
};

} // namespace tessera::ops
