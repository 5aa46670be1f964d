#include "ops/swiglu.h"

#include <cmath>

#include "ops/node.h"
#include "ops/rows.h"
#include "ops/vector.h"

namespace tessera::ops {

namespace {

// sigmoid(x) = 1 / (1 + exp(-x)), from exp of what is not positive, and
// sigmoid(-x), which 1 - sigmoid(x) would round to nothing.
struct Sigmoids {
  float of_x;
  float of_minus_x;
};

inline Sigmoids sigmoids(float x) {
  const float e = exp_of(-std::fabs(x));
  const float large = 1.0f / (1.0f + e);
  const float small = e * large;
  return x < 0 ? Sigmoids{small, large} : Sigmoids{large, small};
}

TESSERA_WIDEST
void forward(std::int64_t n, const float* gate, const float* up, float* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = gate[i] * sigmoids(gate[i]).of_x * up[i];
  }
}

// Gradients by gate and up, from dy.
TESSERA_WIDEST
void backward(
    std::int64_t n,
    const float* gate,
    const float* up,
    const float* dy,
    float* dgate,
    float* dup) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = gate[i];
    const float d = dy[i];
    const float u = up[i];
    const auto [s, rest] = sigmoids(g);
    dgate[i] = d * u * s * (1.0f + g * rest);
    dup[i] = d * g * s;
  }
}

class SwigluGradient : public CpuNode {
 public:
  SwigluGradient() : CpuNode("SwigluGradient") {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    const auto width = inputs[0].shape(-1);
    dispatch([rows = rows_of(inputs[0]),
              width,
              gate = inputs[0].data<float>(),
              up = inputs[1].data<float>(),
              dy = inputs[2].data<float>(),
              dgate = outputs[0].data<float>(),
              dup = outputs[1].data<float>()] {
      for_pieces(rows, [&](const Piece& piece) {
        const auto at = piece.begin * width;
        backward(
            piece.rows() * width,
            gate + at,
            up + at,
            dy + at,
            dgate + at,
            dup + at);
      });
    });
  }
};

class Swiglu : public CpuNode {
 public:
  Swiglu() : CpuNode("Swiglu") {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    const auto width = inputs[0].shape(-1);
    dispatch([rows = rows_of(inputs[0]),
              width,
              gate = inputs[0].data<float>(),
              up = inputs[1].data<float>(),
              y = outputs[0].data<float>()] {
      for_pieces(rows, [&](const Piece& piece) {
        const auto at = piece.begin * width;
        forward(piece.rows() * width, gate + at, up + at, y + at);
      });
    });
  }

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    const auto both = make_nodes<SwigluGradient>(
        {primals[0].shape(), primals[1].shape()},
        {primals[0], primals[1], cotangents[0]});
    std::vector<mx::array> wanted;
    for (const int i : argnums) {
      wanted.push_back(both[static_cast<std::size_t>(i)]);
    }
    return wanted;
  }
};

} // namespace

mx::array swiglu(const mx::array& gate, const mx::array& up) {
  if (gate.shape() != up.shape()) {
    fail("swiglu", "expected gate and up of one shape");
  }
  if (!is_ours(gate)) {
    return mx::multiply(mx::multiply(gate, mx::sigmoid(gate)), up);
  }
  return make_node<Swiglu>(gate.shape(), {gate, up});
}

} // namespace tessera::ops
