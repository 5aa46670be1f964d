#include <cblas.h>

#include <memory>

#include "contender.h"

namespace tessera::bench {

Contender openblas_sgemm(int N) {
  const auto floats = static_cast<std::size_t>(N) * static_cast<std::size_t>(N);
  const auto data = std::make_shared<std::vector<float>>(3 * floats, 0.5f);
  return {"openblas sgemm " + std::to_string(N), 2.0 * N * N * N, [=] {
            cblas_sgemm(
                CblasRowMajor,
                CblasNoTrans,
                CblasNoTrans,
                N,
                N,
                N,
                1.0f,
                data->data(),
                N,
                data->data() + floats,
                N,
                0.0f,
                data->data() + 2 * floats,
                N);
          }};
}

} // namespace tessera::bench
