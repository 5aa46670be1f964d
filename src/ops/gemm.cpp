#include "ops/gemm.h"

#ifdef __APPLE__
#define ACCELERATE_NEW_LAPACK
#include <Accelerate/Accelerate.h>
#else
#include <cblas.h>

// Weak: in a Python process OpenBLAS may be missing, and MLX's own BLAS, which
// has one thread, stand in for it.
extern "C" {
[[gnu::weak]] int openblas_get_num_threads();
[[gnu::weak]] void openblas_set_num_threads(int);
}
#endif

namespace tessera::ops {

void gemm(
    const Sizes& sizes,
    float alpha,
    const Matrix& A,
    const Matrix& B,
    Into into,
    float* C,
    std::int64_t stride) {
  const auto order = [](const Matrix& x) {
    return x.transposed ? CblasTrans : CblasNoTrans;
  };
  cblas_sgemm(
      CblasRowMajor,
      order(A),
      order(B),
      static_cast<int>(sizes.M),
      static_cast<int>(sizes.N),
      static_cast<int>(sizes.K),
      alpha,
      A.data,
      static_cast<int>(A.stride),
      B.data,
      static_cast<int>(B.stride),
      into == Into::sum ? 1.0f : 0.0f,
      C,
      static_cast<int>(stride));
}

#ifdef __APPLE__
// Accelerate shares its matrix units by itself.
SerialBlas::SerialBlas() = default;
SerialBlas::~SerialBlas() = default;
#else
SerialBlas::SerialBlas() {
  if (openblas_get_num_threads != nullptr) {
    before_ = openblas_get_num_threads();
    openblas_set_num_threads(1);
  }
}

SerialBlas::~SerialBlas() {
  if (openblas_set_num_threads != nullptr) {
    openblas_set_num_threads(before_);
  }
}
#endif

} // namespace tessera::ops
