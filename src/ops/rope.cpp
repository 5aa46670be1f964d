#include "ops/rope.h"

#include "ops/node.h"
#include "ops/rows.h"
#include "ops/vector.h"

namespace tessera::ops {

namespace {

struct Turn {
  std::int64_t rows = 0;
  std::int64_t rotations = 0; // rows of the table, which repeats
  std::int64_t heads = 0;
  std::int64_t half = 0; // of a head's features
  bool backward = false;
};

TESSERA_WIDEST
void turn_head(
    const float* x,
    const float* cosine,
    const float* sine,
    float sign,
    std::int64_t half,
    float* y) {
  // y may be x: each pass reads what it writes, and nothing else.
#pragma GCC ivdep
  for (std::int64_t d = 0; d < half; ++d) {
    const float a = x[d];
    const float b = x[half + d];
    const float s = sign * sine[d];
    y[d] = a * cosine[d] - b * s;
    y[half + d] = b * cosine[d] + a * s;
  }
}

void turn_rows(
    const Turn& turn,
    const Piece& piece,
    const float* x,
    const float* cosine,
    const float* sine,
    float* y) {
  const auto width = turn.heads * 2 * turn.half;
  const float sign = turn.backward ? -1.0f : 1.0f;
  for (auto i = piece.begin; i < piece.end; ++i) {
    const auto angle = i % turn.rotations * turn.half;
    for (std::int64_t h = 0; h < turn.heads; ++h) {
      const auto at = i * width + h * 2 * turn.half;
      turn_head(x + at, cosine + angle, sine + angle, sign, turn.half, y + at);
    }
  }
}

// x, cosine, sine -> y
class Rope : public CpuNode {
 public:
  explicit Rope(const Turn& turn) : CpuNode("Rope"), turn_(turn) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    if (inputs[0].is_donatable()) {
      outputs[0].copy_shared_buffer(inputs[0]);
    } else {
      allocate(outputs);
    }
    dispatch([turn = turn_,
              x = inputs[0].data<float>(),
              cosine = inputs[1].data<float>(),
              sine = inputs[2].data<float>(),
              y = outputs[0].data<float>()] {
      for_pieces(turn.rows, [&](const Piece& piece) {
        turn_rows(turn, piece, x, cosine, sine, y);
      });
    });
  }

  // The gradient is turned back.
  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    if (argnums != std::vector<int>{0}) {
      fail("rope", "expected a gradient by x only");
    }
    Turn back = turn_;
    back.backward = !turn_.backward;
    return {make_node<Rope>(
        primals[0].shape(), {cotangents[0], primals[1], primals[2]}, back)};
  }

 private:
  Turn turn_;
};

// By MLX's own ops, for other devices and dtypes.
mx::array composed(const mx::array& x, int head_dim, const Rotation& rotation) {
  const int heads = x.shape(2) / head_dim;
  const auto per_head =
      mx::reshape(x, {x.shape(0), x.shape(1), heads, 2, head_dim / 2});
  const auto a = mx::take(per_head, 0, 3);
  const auto b = mx::take(per_head, 1, 3);
  const auto cosine = mx::expand_dims(rotation.cosine, 2);
  const auto sine = mx::expand_dims(rotation.sine, 2);
  const auto turned =
      mx::stack({a * cosine - b * sine, b * cosine + a * sine}, 3);
  return mx::astype(mx::reshape(turned, x.shape()), x.dtype());
}

} // namespace

Rotation rotation_of(
    const mx::array& positions, const std::vector<float>& wavelengths) {
  const int pairs = static_cast<int>(wavelengths.size());
  std::vector<float> frequencies;
  for (const float wavelength : wavelengths) {
    frequencies.push_back(1.0f / wavelength);
  }
  const auto angles = mx::multiply(
      mx::expand_dims(mx::astype(positions, mx::float32), 2),
      mx::array(frequencies.data(), {pairs}));
  return {mx::cos(angles), mx::sin(angles)};
}

mx::array rope(const mx::array& x, int head_dim, const Rotation& rotation) {
  if (x.ndim() != 3 || x.shape(2) % head_dim != 0 || head_dim % 2 != 0) {
    fail("rope", "expected x [B, N, H * D]");
  }
  if (!is_ours(x)) {
    return composed(x, head_dim, rotation);
  }
  const Turn turn{
      rows_of(x),
      rows_of(rotation.cosine),
      x.shape(2) / head_dim,
      head_dim / 2,
      false};
  return make_node<Rope>(x.shape(), {x, rotation.cosine, rotation.sine}, turn);
}

} // namespace tessera::ops
