#include <algorithm>

#include "ops/linear_node.h"
#include "ops/node.h"

namespace tessera::ops {

namespace {

// Its inputs are the forward's, then dy of each module; its outputs dx (where
// wanted), then, of each module with LoRA, dA and dB of each piece: [pieces,
// in, rank] and [pieces, rank, out].
struct Backward {
  LinearCall call;
  bool wants_x = false;
  std::vector<const float*> in;
  std::vector<const float*> dy;
  std::vector<float*> out;

  void run(const Piece& piece) const;

 private:
  float* dx(const Piece& piece) const;
  void low_rank(
      const Piece& piece,
      const LinearShape& m,
      const float* d,
      float** dAdB) const;
};

float* Backward::dx(const Piece& piece) const {
  return wants_x ? out[0] + piece.begin * call.modules[0].in : nullptr;
}

void Backward::run(const Piece& piece) const {
  auto next = out.begin() + (wants_x ? 1 : 0);
  for (std::size_t i = 0; i < call.modules.size(); ++i) {
    const LinearShape& m = call.modules[i];
    const float* d = dy[i] + piece.begin * m.out;
    if (wants_x) {
      gemm(
          {piece.rows(), m.in, m.out},
          1.0f,
          {d, m.out},
          {in[m.W], m.in},
          i == 0 ? Into::new_values : Into::sum,
          dx(piece),
          m.in);
    }
    if (m.rank != 0) {
      float* dAdB[] = {next[0], next[1]};
      low_rank(piece, m, d, dAdB);
      next += 2;
    }
  }
}

// low = scale * x' A; dB = low^T dy; dlow = scale * dy B^T; dA = x'^T dlow;
// dx' = dlow A^T, x' being x with dropout.
void Backward::low_rank(
    const Piece& piece,
    const LinearShape& m,
    const float* d,
    float** dAdB) const {
  const auto rows = piece.rows();
  const float scale = call.factors.scale;
  std::vector<float> room;
  const float* x = into_A(call, m, piece, in[0] + piece.begin * m.in, room);
  std::vector<float> low(static_cast<std::size_t>(rows * m.rank));
  const auto whole = Into::new_values;
  gemm(
      {rows, m.rank, m.in},
      scale,
      {x, m.in},
      {in[m.A], m.rank},
      whole,
      low.data(),
      m.rank);
  float* dB = dAdB[1] + piece.index * m.rank * m.out;
  gemm(
      {m.rank, m.out, rows},
      1.0f,
      transpose({low.data(), m.rank}),
      {d, m.out},
      whole,
      dB,
      m.out);
  std::vector<float>& dlow = low;
  gemm(
      {rows, m.rank, m.out},
      scale,
      {d, m.out},
      transpose({in[m.B], m.out}),
      whole,
      dlow.data(),
      m.rank);
  float* dA = dAdB[0] + piece.index * m.in * m.rank;
  gemm(
      {m.in, m.rank, rows},
      1.0f,
      transpose({x, m.in}),
      {dlow.data(), m.rank},
      whole,
      dA,
      m.rank);
  if (!wants_x) {
    return;
  }
  const bool drops = call.factors.dropout > 0;
  float* to = drops ? room.data() : dx(piece);
  gemm(
      {rows, m.in, m.rank},
      1.0f,
      {dlow.data(), m.rank},
      transpose({in[m.A], m.rank}),
      drops ? Into::new_values : Into::sum,
      to,
      m.in);
  if (drops) {
    drop_gradient(call, m, piece, to);
    float* sum = dx(piece);
    std::transform(to, to + rows * m.in, sum, sum, std::plus<>());
  }
}

class LinearGradient : public CpuNode {
 public:
  LinearGradient(LinearCall call, bool wants_x)
      : CpuNode("LinearGradient"), call_(std::move(call)), wants_x_(wants_x) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    Backward backward{call_, wants_x_, {}, {}, {}};
    const auto first_dy = inputs.size() - call_.modules.size();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      auto& list = i < first_dy ? backward.in : backward.dy;
      list.push_back(inputs[i].data<float>());
    }
    for (auto& out : outputs) {
      backward.out.push_back(out.data<float>());
    }
    dispatch([backward = std::move(backward)] {
      const SerialBlas serial;
      for_pieces(
          backward.call.rows, [&](const Piece& piece) { backward.run(piece); });
    });
  }

 private:
  LinearCall call_;
  bool wants_x_;
};

// x [rows, in], dy [rows, out] -> dW [out, in]. Pieces are of dW's rows: each
// sums over all rows of x by itself.
class LinearGradientW : public CpuNode {
 public:
  LinearGradientW() : CpuNode("LinearGradientW") {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    dispatch([rows = rows_of(inputs[0]),
              in = std::int64_t(inputs[0].shape(-1)),
              out = std::int64_t(inputs[1].shape(-1)),
              x = inputs[0].data<float>(),
              dy = inputs[1].data<float>(),
              dW = outputs[0].data<float>()] {
      const SerialBlas serial;
      for_pieces(out, [&](const Piece& piece) {
        gemm(
            {piece.rows(), in, rows},
            1.0f,
            transpose({dy + piece.begin, out}),
            {x, in},
            Into::new_values,
            dW + piece.begin * in,
            in);
      });
    });
  }
};

// What one module's dA and dB are among LinearGradient's outputs.
struct Sums {
  std::size_t dA = 0;
  std::size_t dB = 0;
};

} // namespace

std::vector<mx::array> linear_gradients(
    const LinearCall& call,
    const std::vector<mx::array>& inputs,
    const std::vector<mx::array>& cotangents,
    const std::vector<int>& argnums) {
  const auto wants = [&](std::size_t input) {
    return std::find(argnums.begin(), argnums.end(), int(input)) !=
        argnums.end();
  };
  const bool wants_x = wants(0);
  const int pieces = pieces_of(call.rows);
  std::vector<mx::Shape> shapes;
  if (wants_x) {
    shapes.push_back(inputs[0].shape());
  }
  std::vector<Sums> sums;
  for (const LinearShape& m : call.modules) {
    sums.push_back({shapes.size(), shapes.size() + 1});
    if (m.rank != 0) {
      shapes.push_back({pieces, int(m.in), int(m.rank)});
      shapes.push_back({pieces, int(m.rank), int(m.out)});
    }
  }
  std::vector<mx::array> parts;
  if (!shapes.empty()) {
    auto all = inputs;
    if (std::none_of(
            call.modules.begin(), call.modules.end(), [](const auto& m) {
              return m.rank != 0;
            })) {
      all[0] = mx::array(0.0f); // not read: need not be kept until then
    }
    all.insert(all.end(), cotangents.begin(), cotangents.end());
    parts = make_nodes<LinearGradient>(shapes, all, call, wants_x);
  }
  const auto gradient = [&](std::size_t input) {
    if (input == 0) {
      return parts[0];
    }
    for (std::size_t i = 0; i < call.modules.size(); ++i) {
      const LinearShape& m = call.modules[i];
      const auto& dy = cotangents[i];
      if (input == m.W) {
        return make_node<LinearGradientW>(inputs[m.W].shape(), {inputs[0], dy});
      }
      if (input == m.bias) {
        return mx::sum(mx::reshape(dy, {int(call.rows), int(m.out)}), 0);
      }
      if (input == m.A || input == m.B) {
        return mx::sum(parts[input == m.A ? sums[i].dA : sums[i].dB], 0);
      }
    }
    fail("linear", "expected an input below {}; got {}", inputs.size(), input);
  };
  std::vector<mx::array> gradients;
  for (const int i : argnums) {
    gradients.push_back(gradient(static_cast<std::size_t>(i)));
  }
  return gradients;
}

} // namespace tessera::ops
