#include "ops/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/gemm.h"
#include "ops/node.h"
#include "ops/rows.h"
#include "ops/vector.h"

namespace tessera::ops {

namespace {

// The vocabulary is shared among threads in so many parts. Each packs its part
// of W once a chunk, whereas parts of rows would all pack the whole of it.
constexpr std::int64_t parts = 16;

TESSERA_WIDEST
float largest(const float* x, std::size_t n) {
  float part[lanes];
  std::fill(part, part + lanes, -INFINITY);
  const std::size_t whole = n - n % lanes;
  for (std::size_t i = 0; i < whole; i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j) {
      part[j] = x[i + j] > part[j] ? x[i + j] : part[j];
    }
  }
  for (std::size_t i = whole; i < n; ++i) {
    part[0] = std::max(part[0], x[i]);
  }
  return *std::max_element(part, part + lanes);
}

// x = exp(x - max); returns the sum.
TESSERA_WIDEST
double exponentiate(float max, std::size_t n, float* x) {
  float part[lanes] = {};
  const std::size_t whole = n - n % lanes;
  for (std::size_t i = 0; i < whole; i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j) {
      x[i + j] = exp_of(x[i + j] - max);
      part[j] += x[i + j];
    }
  }
  for (std::size_t i = whole; i < n; ++i) {
    x[i] = exp_of(x[i] - max);
    part[0] += x[i];
  }
  return sum_of_lanes(part);
}

TESSERA_WIDEST
void scale(float factor, std::size_t n, float* x) {
  for (std::size_t i = 0; i < n; ++i) {
    x[i] *= factor;
  }
}

// logsumexp(x) - x[target]; x becomes the gradient by it where that is wanted.
// The two differences, not L alone: L would round as the logits' size does.
float loss_of_row(float* x, std::size_t n, std::size_t target, bool gradient) {
  const float max = largest(x, n);
  const double below =
      static_cast<double>(max) - static_cast<double>(x[target]);
  const double sum = exponentiate(max, n, x);
  if (gradient) {
    scale(static_cast<float>(1.0 / sum), n, x);
    x[target] -= 1.0f;
  }
  return static_cast<float>(below + std::log(sum));
}

struct Loss {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::int64_t vocab = 0;
  CrossEntropyOptions options;
  const float* hidden = nullptr;
  const float* W = nullptr;
  const std::int32_t* targets = nullptr;
  float* loss = nullptr;
  float* dhidden = nullptr; // null where it is not wanted
  float* dW = nullptr;
  float* workspace = nullptr; // for a chunk

  std::int64_t step() const {
    return std::min(rows, options.rows(vocab));
  }
  void run() const;

 private:
  struct Chunk {
    std::int64_t begin = 0;
    std::int64_t rows = 0;
    float* logits = nullptr;
    float* losses = nullptr;
    float* sums = nullptr;
  };

  Piece part(int index) const;
  void make_logits(const Chunk& chunk) const;
  void make_losses(const Chunk& chunk) const;
  void make_gradients(const Chunk& chunk) const;
  void add_up(const Chunk& chunk) const;
};

Piece Loss::part(int index) const {
  const auto size = (vocab + parts - 1) / parts;
  const auto begin = std::min(vocab, index * size);
  return {index, begin, std::min(vocab, begin + size)};
}

void Loss::make_logits(const Chunk& chunk) const {
  for_each_index(parts, [&](int index) {
    const Piece p = part(index);
    gemm(
        {chunk.rows, p.rows(), width},
        1.0f,
        {hidden + chunk.begin * width, width},
        transpose({W + p.begin * width, width}),
        Into::new_values,
        chunk.logits + p.begin,
        vocab);
  });
}

// The loss of each row; its logits become the gradient by them.
void Loss::make_losses(const Chunk& chunk) const {
  for_pieces(chunk.rows, [&](const Piece& piece) {
    for (auto i = piece.begin; i < piece.end; ++i) {
      chunk.losses[i] = loss_of_row(
          chunk.logits + i * vocab,
          static_cast<std::size_t>(vocab),
          static_cast<std::size_t>(targets[chunk.begin + i]),
          dhidden != nullptr || dW != nullptr);
    }
  });
}

void Loss::make_gradients(const Chunk& chunk) const {
  for_each_index(parts, [&](int index) {
    const Piece p = part(index);
    const Matrix dlogits{chunk.logits + p.begin, vocab};
    if (dhidden != nullptr) {
      gemm(
          {chunk.rows, width, p.rows()},
          1.0f,
          dlogits,
          {W + p.begin * width, width},
          Into::new_values,
          chunk.sums + index * chunk.rows * width,
          width);
    }
    if (dW != nullptr) {
      gemm(
          {p.rows(), width, chunk.rows},
          1.0f,
          transpose(dlogits),
          {hidden + chunk.begin * width, width},
          chunk.begin == 0 ? Into::new_values : Into::sum,
          dW + p.begin * width,
          width);
    }
  });
}

void Loss::add_up(const Chunk& chunk) const {
  for_pieces(chunk.rows, [&](const Piece& piece) {
    const auto n = piece.rows() * width;
    float* to = dhidden + (chunk.begin + piece.begin) * width;
    const float* from = chunk.sums + piece.begin * width;
    std::copy_n(from, n, to);
    for (int index = 1; index < parts; ++index) {
      from += chunk.rows * width;
      std::transform(to, to + n, from, to, std::plus<>());
    }
  });
}

void Loss::run() const {
  const SerialBlas serial;
  Chunk chunk;
  chunk.logits = workspace;
  chunk.losses = chunk.logits + step() * vocab;
  chunk.sums = chunk.losses + step();
  double sum = 0;
  for (; chunk.begin < rows; chunk.begin += step()) {
    chunk.rows = std::min(step(), rows - chunk.begin);
    make_logits(chunk);
    make_losses(chunk);
    make_gradients(chunk);
    if (dhidden != nullptr) {
      add_up(chunk);
    }
    for (std::int64_t i = 0; i < chunk.rows; ++i) {
      sum += static_cast<double>(chunk.losses[i]);
    }
  }
  *loss = static_cast<float>(sum);
}

// hidden, W, targets -> loss, then dhidden and dW where wanted.
class LinearCrossEntropy : public CpuNode {
 public:
  explicit LinearCrossEntropy(const CrossEntropyOptions& options)
      : CpuNode("LinearCrossEntropy"), options_(options) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    Loss loss;
    loss.rows = inputs[0].shape(0);
    loss.width = inputs[0].shape(1);
    loss.vocab = inputs[1].shape(0);
    loss.options = options_;
    loss.hidden = inputs[0].data<float>();
    loss.W = inputs[1].data<float>();
    loss.targets = inputs[2].data<std::int32_t>();
    loss.loss = outputs[0].data<float>();
    loss.dhidden = options_.by_hidden ? outputs[1].data<float>() : nullptr;
    loss.dW = options_.by_weight ? outputs.back().data<float>() : nullptr;
    loss.workspace =
        temporary(options_.workspace(loss.step(), loss.width, loss.vocab));
    dispatch([loss] { loss.run(); });
  }

  std::vector<mx::array> vjp(
      const std::vector<mx::array>&,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>& outputs) override {
    std::vector<mx::array> gradients;
    for (const int i : argnums) {
      const bool there = i == 0 ? options_.by_hidden
          : i == 1              ? options_.by_weight
                                : false;
      if (!there) {
        fail(
            "cross_entropy",
            "expected a gradient that was announced; got input {}",
            i);
      }
      const auto& gradient = i == 0 ? outputs[1] : outputs.back();
      gradients.push_back(mx::multiply(gradient, cotangents[0]));
    }
    return gradients;
  }

 private:
  CrossEntropyOptions options_;
};

mx::array summed(
    const mx::array& hidden, const mx::array& W, const mx::array& targets) {
  const auto logits =
      mx::astype(mx::matmul(hidden, mx::transpose(W)), mx::float32);
  const auto at = mx::take_along_axis(logits, mx::expand_dims(targets, 1), 1);
  return mx::sum(mx::logsumexp(logits, 1)) - mx::sum(at);
}

// By MLX's own ops, for other devices and dtypes: chunks are made again for the
// gradient.
mx::array composed(
    const mx::array& hidden,
    const mx::array& W,
    const mx::array& targets,
    const CrossEntropyOptions& options) {
  const int rows = hidden.shape(0);
  const int step =
      static_cast<int>(std::min<std::int64_t>(rows, options.rows(W.shape(0))));
  if (step == rows) {
    return summed(hidden, W, targets);
  }
  mx::array sum(0.0f);
  for (int begin = 0; begin < rows; begin += step) {
    const int end = std::min(rows, begin + step);
    const auto chunk = mx::checkpoint([t = mx::slice(targets, {begin}, {end})](
                                          const std::vector<mx::array>& x) {
      return std::vector{summed(x[0], x[1], t)};
    });
    sum = sum +
        chunk({mx::slice(hidden, {begin, 0}, {end, hidden.shape(1)}), W})[0];
  }
  return sum;
}

} // namespace

std::int64_t CrossEntropyOptions::rows(std::int64_t vocab) const {
  return std::max<std::int64_t>(
      1, most_bytes / (vocab * static_cast<std::int64_t>(sizeof(float))));
}

std::int64_t CrossEntropyOptions::workspace(
    std::int64_t rows, std::int64_t width, std::int64_t vocab) const {
  return rows * (vocab + 1 + (by_hidden ? parts * width : 0));
}

mx::array linear_cross_entropy(
    const mx::array& hidden,
    const mx::array& W,
    const mx::array& targets,
    const CrossEntropyOptions& options) {
  if (hidden.ndim() != 2 || W.ndim() != 2 || hidden.shape(1) != W.shape(1) ||
      targets.shape() != mx::Shape{hidden.shape(0)}) {
    fail(
        "cross_entropy",
        "expected hidden [rows, width], W [vocab, width] and targets [rows]");
  }
  const auto t = mx::astype(targets, mx::int32);
  if (!is_ours(hidden) || !is_ours(W)) {
    return composed(hidden, W, t, options);
  }
  std::vector<mx::Shape> shapes{{}};
  if (options.by_hidden) {
    shapes.push_back(hidden.shape());
  }
  if (options.by_weight) {
    shapes.push_back(W.shape());
  }
  return make_nodes<LinearCrossEntropy>(
      std::move(shapes), {hidden, W, t}, options)[0];
}

} // namespace tessera::ops
