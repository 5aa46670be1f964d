#include "train/math/cross_entropy.h"

#include <mlx/backend/cpu/encoder.h>
#include <mlx/fast.h>
#include <mlx/primitives.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "tessera/error.h"

// A copy of a function for each vector width, chosen when the program starts.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define TESSERA_WIDEST \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TESSERA_WIDEST
#endif

namespace tessera::train {

namespace {

// exp(x) for x <= 0 to 2 ulp, 0 below -87: 2^n * exp(r), n = round(x / ln 2),
// |r| <= ln 2 / 2, and Taylor's polynomial of exp(r) to the 7th power. Without
// branches or calls, so that loops over it vectorise.
inline float exp_of(float x) {
  constexpr float log2e = 1.44269504f;
  constexpr float ln2_high = 0.693359375f;
  constexpr float ln2_low = -2.12194440e-4f;
  constexpr float round_to_int = 12582912.0f; // 1.5 * 2^23
  float shifted = std::max(x, -87.0f) * log2e + round_to_int;
  float n = shifted - round_to_int;
  float r = std::max(x, -87.0f) - n * ln2_high - n * ln2_low;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // The low bits of `shifted` hold n; n + 127 is the exponent of 2^n.
  auto bits = std::bit_cast<std::uint32_t>(shifted) + 127u;
  return x < -87.0f ? 0.0f : p * std::bit_cast<float>(bits << 23);
}

// Independent partial results, so that sums vectorise without reordering.
constexpr std::size_t lanes = 16;

TESSERA_WIDEST
float logsumexp(const float* x, std::size_t n) {
  float part[lanes];
  std::fill(part, part + lanes, -INFINITY);
  std::size_t whole = n - n % lanes;
  for (std::size_t i = 0; i < whole; i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j) {
      part[j] = x[i + j] > part[j] ? x[i + j] : part[j];
    }
  }
  for (std::size_t i = whole; i < n; ++i) {
    part[0] = std::max(part[0], x[i]);
  }
  float max = *std::max_element(part, part + lanes);
  std::fill(part, part + lanes, 0.0f);
  for (std::size_t i = 0; i < whole; i += lanes) {
    for (std::size_t j = 0; j < lanes; ++j) {
      part[j] += exp_of(x[i + j] - max);
    }
  }
  for (std::size_t i = whole; i < n; ++i) {
    part[0] += exp_of(x[i] - max);
  }
  double sum = 0;
  for (float p : part) {
    sum += p;
  }
  return max + static_cast<float>(std::log(sum));
}

// d[i] = c * exp(x[i] - L)
TESSERA_WIDEST
void scaled_softmax(const float* x, float L, float c, std::size_t n, float* d) {
  for (std::size_t i = 0; i < n; ++i) {
    d[i] = c * exp_of(x[i] - L);
  }
}

// logits [rows, vocab] float32, targets [rows] int32, L [rows], cotangent of
// the loss [rows] -> cotangent of the logits, in their memory where possible.
class CrossEntropyGradient : public mx::UnaryPrimitive {
 public:
  using mx::UnaryPrimitive::UnaryPrimitive;

  void eval_cpu(const std::vector<mx::array>& inputs, mx::array& out) override {
    if (inputs[0].is_donatable()) {
      out.copy_shared_buffer(inputs[0]);
    } else {
      out.set_data(mx::allocator::malloc(out.nbytes()));
    }
    auto& encoder = mx::cpu::get_command_encoder(stream());
    encoder.dispatch([x = inputs[0].data<float>(),
                      target = inputs[1].data<std::int32_t>(),
                      L = inputs[2].data<float>(),
                      c = inputs[3].data<float>(),
                      d = out.data<float>(),
                      rows = std::size_t(out.shape(0)),
                      vocab = std::size_t(out.shape(1))] {
      for (std::size_t i = 0; i < rows; ++i) {
        float* row = d + i * vocab;
        scaled_softmax(x + i * vocab, L[i], c[i], vocab, row);
        row[target[i]] -= c[i];
      }
    });
  }

  void eval_gpu(const std::vector<mx::array>&, mx::array&) override {
    fail("cross_entropy", "expected a CPU stream");
  }

  const char* name() const override {
    return "CrossEntropyGradient";
  }
};

// logits [rows, vocab] float32, targets [rows] int32 -> loss and L, [rows].
class CrossEntropy : public mx::Primitive {
 public:
  using mx::Primitive::Primitive;

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    for (mx::array& out : outputs) {
      out.set_data(mx::allocator::malloc(out.nbytes()));
    }
    auto& encoder = mx::cpu::get_command_encoder(stream());
    encoder.dispatch([x = inputs[0].data<float>(),
                      target = inputs[1].data<std::int32_t>(),
                      loss = outputs[0].data<float>(),
                      L = outputs[1].data<float>(),
                      rows = std::size_t(inputs[0].shape(0)),
                      vocab = std::size_t(inputs[0].shape(1))] {
      for (std::size_t i = 0; i < rows; ++i) {
        const float* row = x + i * vocab;
        L[i] = logsumexp(row, vocab);
        loss[i] = L[i] - row[target[i]];
      }
    });
  }

  void eval_gpu(
      const std::vector<mx::array>&, std::vector<mx::array>&) override {
    fail("cross_entropy", "expected a CPU stream");
  }

  // L is not handed out, so only the loss has a cotangent.
  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>& outputs) override {
    if (argnums != std::vector<int>{0}) {
      fail("cross_entropy", "expected a gradient by logits only");
    }
    return {mx::array(
        primals[0].shape(),
        mx::float32,
        std::make_shared<CrossEntropyGradient>(stream()),
        {primals[0],
         primals[1],
         outputs[1],
         mx::contiguous(cotangents[0], false, stream())})};
  }

  const char* name() const override {
    return "CrossEntropy";
  }
};

} // namespace

mx::array cross_entropy(const mx::array& logits, const mx::array& targets) {
  if (logits.ndim() != 2 || targets.shape() != mx::Shape{logits.shape(0)}) {
    fail("cross_entropy", "expected logits [rows, vocab] and targets [rows]");
  }
  mx::array x = mx::astype(logits, mx::float32);
  mx::array t = mx::astype(targets, mx::int32);
  mx::Stream stream = mx::default_stream(mx::default_device());
  if (stream.device != mx::Device::cpu) {
    return mx::fast::cross_entropy(x, t);
  }
  mx::Shape rows{x.shape(0)};
  return mx::array::make_arrays(
      {rows, rows},
      {mx::float32, mx::float32},
      std::make_shared<CrossEntropy>(stream),
      {mx::contiguous(x), mx::contiguous(t)})[0];
}

} // namespace tessera::train
