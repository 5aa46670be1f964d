#include "ops/rms_norm.h"

#include <mlx/fast.h>

#include <cmath>

#include "ops/node.h"
#include "ops/rows.h"
#include "ops/vector.h"

namespace tessera::ops {

namespace {

struct Norm {
  std::int64_t rows = 0;
  std::size_t width = 0;
  float eps = 0.0f;
};

// 1 / sqrt(mean(x^2) + eps)
TESSERA_WIDEST
float inverse_rms(const float* x, std::size_t width, float eps) {
  float part[lanes] = {};
  const std::size_t whole = width - width % lanes;
  for (std::size_t i = 0; i < whole; i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j) {
      part[j] += x[i + j] * x[i + j];
    }
  }
  for (std::size_t i = whole; i < width; ++i) {
    part[0] += x[i] * x[i];
  }
  const double mean = sum_of_lanes(part) / static_cast<double>(width);
  return static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
}

TESSERA_WIDEST
void forward(
    const float* x, const float* w, float r, std::size_t width, float* y) {
  for (std::size_t i = 0; i < width; ++i) {
    y[i] = x[i] * r * w[i];
  }
}

// With n = x r: dx = r (dy w - n mean(dy w n)).
TESSERA_WIDEST
void backward_x(
    const float* x,
    const float* w,
    const float* dy,
    float r,
    std::size_t width,
    float* dx) {
  float part[lanes] = {};
  const std::size_t whole = width - width % lanes;
  for (std::size_t i = 0; i < whole; i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j) {
      part[j] += dy[i + j] * w[i + j] * x[i + j];
    }
  }
  for (std::size_t i = whole; i < width; ++i) {
    part[0] += dy[i] * w[i] * x[i];
  }
  const double r2 = static_cast<double>(r) * static_cast<double>(r);
  const auto mean =
      static_cast<float>(sum_of_lanes(part) * r2 / static_cast<double>(width));
  for (std::size_t i = 0; i < width; ++i) {
    dx[i] = r * (dy[i] * w[i] - x[i] * mean);
  }
}

// dw += dy x r
TESSERA_WIDEST
void add_backward_w(
    const float* x, const float* dy, float r, std::size_t width, float* dw) {
  for (std::size_t i = 0; i < width; ++i) {
    dw[i] += dy[i] * x[i] * r;
  }
}

// Calls work(where the row begins, its inverse RMS) for each row of a piece.
template <typename Work>
void for_rows(const Norm& n, const Piece& piece, const float* x, Work work) {
  for (auto i = piece.begin; i < piece.end; ++i) {
    const auto at = static_cast<std::size_t>(i) * n.width;
    work(at, inverse_rms(x + at, n.width, n.eps));
  }
}

// x, w, dy -> dx
class NormGradientX : public CpuNode {
 public:
  explicit NormGradientX(const Norm& norm)
      : CpuNode("RmsNormGradientX"), norm_(norm) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    dispatch([n = norm_,
              x = inputs[0].data<float>(),
              w = inputs[1].data<float>(),
              dy = inputs[2].data<float>(),
              dx = outputs[0].data<float>()] {
      for_pieces(n.rows, [&](const Piece& piece) {
        for_rows(n, piece, x, [&](std::size_t at, float r) {
          backward_x(x + at, w, dy + at, r, n.width, dx + at);
        });
      });
    });
  }

 private:
  Norm norm_;
};

// x, dy -> dw of each piece [pieces, width]
class NormGradientW : public CpuNode {
 public:
  explicit NormGradientW(const Norm& norm)
      : CpuNode("RmsNormGradientW"), norm_(norm) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    dispatch([n = norm_,
              x = inputs[0].data<float>(),
              dy = inputs[1].data<float>(),
              dw = outputs[0].data<float>()] {
      for_pieces(n.rows, [&](const Piece& piece) {
        float* sum = dw + static_cast<std::size_t>(piece.index) * n.width;
        std::fill(sum, sum + n.width, 0.0f);
        for_rows(n, piece, x, [&](std::size_t at, float r) {
          add_backward_w(x + at, dy + at, r, n.width, sum);
        });
      });
    });
  }

 private:
  Norm norm_;
};

// x, w -> y
class RmsNorm : public CpuNode {
 public:
  explicit RmsNorm(const Norm& norm) : CpuNode("RmsNorm"), norm_(norm) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    dispatch([n = norm_,
              x = inputs[0].data<float>(),
              w = inputs[1].data<float>(),
              y = outputs[0].data<float>()] {
      for_pieces(n.rows, [&](const Piece& piece) {
        for_rows(n, piece, x, [&](std::size_t at, float r) {
          forward(x + at, w, r, n.width, y + at);
        });
      });
    });
  }

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    const auto& x = primals[0];
    const auto& w = primals[1];
    std::vector<mx::array> gradients;
    for (const int i : argnums) {
      if (i == 0) {
        gradients.push_back(
            make_node<NormGradientX>(x.shape(), {x, w, cotangents[0]}, norm_));
      } else {
        const auto parts = make_node<NormGradientW>(
            {pieces_of(norm_.rows), w.shape(0)}, {x, cotangents[0]}, norm_);
        gradients.push_back(mx::sum(parts, 0));
      }
    }
    return gradients;
  }

 private:
  Norm norm_;
};

} // namespace

mx::array rms_norm(const mx::array& x, const mx::array& w, float eps) {
  if (!is_ours(x) || w.dtype() != mx::float32) {
    return mx::fast::rms_norm(x, w, eps);
  }
  const Norm norm{rows_of(x), static_cast<std::size_t>(x.shape(-1)), eps};
  return make_node<RmsNorm>(x.shape(), {x, w}, norm);
}

} // namespace tessera::ops
