#include "ops/linear.h"

#include <algorithm>

#include "ops/linear_node.h"
#include "ops/node.h"
#include "ops/vector.h"

namespace tessera::ops {

namespace {

// The finaliser of splitmix64 (Steele, Lea and Flood, "Fast Splittable
// Pseudorandom Number Generators", 2014, section 4): a draw for each count.
inline std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// 0 with probability p, else 1 / (1 - p).
struct Dropout {
  std::uint64_t threshold;
  float kept;

  explicit Dropout(float p)
      : threshold(static_cast<std::uint64_t>(static_cast<double>(p) * 0x1p32)),
        kept(1.0f / (1.0f - p)) {}
};

// y = x * draws from `count` on; y may be x.
TESSERA_WIDEST
void drop(
    const Dropout& dropout,
    std::uint64_t count,
    std::int64_t n,
    const float* x,
    float* y) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    const auto word =
        mix(count + static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15ULL) >>
        32;
    y[i] = word < dropout.threshold ? 0.0f : x[i] * dropout.kept;
  }
}

std::uint64_t first_count(const LinearShape& module, const Piece& piece) {
  return mix(module.seed) +
      static_cast<std::uint64_t>(piece.begin * module.in) *
      0x9e3779b97f4a7c15ULL;
}

void fill_rows(
    const float* bias, std::int64_t rows, std::int64_t width, float* y) {
  for (std::int64_t i = 0; i < rows; ++i) {
    std::copy_n(bias, width, y + i * width);
  }
}

// y = x W^T + bias + scale * (dropped(x) A) B for one piece and module.
void forward(
    const LinearCall& call,
    const LinearShape& m,
    const Piece& piece,
    const std::vector<const float*>& in,
    float* out) {
  const auto rows = piece.rows();
  const float* x = in[0] + piece.begin * m.in;
  float* y = out + piece.begin * m.out;
  if (m.bias != 0) {
    fill_rows(in[m.bias], rows, m.out, y);
  }
  gemm(
      {rows, m.out, m.in},
      1.0f,
      {x, m.in},
      transpose({in[m.W], m.in}),
      m.bias != 0 ? Into::sum : Into::new_values,
      y,
      m.out);
  if (m.rank == 0) {
    return;
  }
  std::vector<float> dropped;
  std::vector<float> low(static_cast<std::size_t>(rows * m.rank));
  gemm(
      {rows, m.rank, m.in},
      call.factors.scale,
      {into_A(call, m, piece, x, dropped), m.in},
      {in[m.A], m.rank},
      Into::new_values,
      low.data(),
      m.rank);
  gemm(
      {rows, m.out, m.rank},
      1.0f,
      {low.data(), m.rank},
      {in[m.B], m.out},
      Into::sum,
      y,
      m.out);
}

class LinearNode : public CpuNode {
 public:
  explicit LinearNode(LinearCall call)
      : CpuNode("Linear"), call_(std::move(call)) {}

  void eval_cpu(
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    allocate(outputs);
    std::vector<const float*> in;
    for (const auto& x : inputs) {
      in.push_back(x.data<float>());
    }
    std::vector<float*> out;
    for (auto& y : outputs) {
      out.push_back(y.data<float>());
    }
    dispatch([call = call_, in = std::move(in), out = std::move(out)] {
      const SerialBlas serial;
      for_pieces(call.rows, [&](const Piece& piece) {
        for (std::size_t i = 0; i < out.size(); ++i) {
          forward(call, call.modules[i], piece, in, out[i]);
        }
      });
    });
  }

  std::vector<mx::array> vjp(
      const std::vector<mx::array>& primals,
      const std::vector<mx::array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<mx::array>&) override {
    return linear_gradients(call_, primals, cotangents, argnums);
  }

 private:
  LinearCall call_;
};

// By MLX's own ops, for other devices and dtypes.
mx::array composed(
    const mx::array& x, const Linear& module, const LowRankFactors& factors) {
  const auto W = mx::transpose(module.W);
  const auto y = module.bias ? mx::addmm(*module.bias, x, W) : mx::matmul(x, W);
  if (!module.low_rank) {
    return y;
  }
  auto from = x;
  if (factors.dropout > 0) {
    const float p = factors.dropout;
    const auto keep = mx::random::bernoulli(
        1 - p, x.shape(), mx::random::key(module.low_rank->seed));
    from = mx::where(
        keep,
        mx::multiply(x, mx::array(1 / (1 - p), x.dtype())),
        mx::array(0.0f, x.dtype()));
  }
  const auto low = mx::multiply(
      mx::matmul(from, module.low_rank->A),
      mx::array(factors.scale, x.dtype()));
  return mx::add(y, mx::matmul(low, module.low_rank->B));
}

LinearShape add_module(const Linear& module, std::vector<mx::array>& inputs) {
  const auto add = [&](const mx::array& x) {
    inputs.push_back(x);
    return inputs.size() - 1;
  };
  LinearShape shape;
  shape.out = module.W.shape(0);
  shape.in = module.W.shape(1);
  shape.W = add(module.W);
  if (module.bias) {
    shape.bias = add(*module.bias);
  }
  if (module.low_rank) {
    shape.rank = module.low_rank->A.shape(1);
    shape.A = add(module.low_rank->A);
    shape.B = add(module.low_rank->B);
    shape.seed = module.low_rank->seed;
  }
  return shape;
}

bool all_ours(const std::vector<mx::array>& inputs) {
  return std::all_of(inputs.begin(), inputs.end(), [](const mx::array& x) {
    return is_ours(x);
  });
}

} // namespace

const float* into_A(
    const LinearCall& call,
    const LinearShape& module,
    const Piece& piece,
    const float* x,
    std::vector<float>& room) {
  if (call.factors.dropout <= 0) {
    return x;
  }
  const auto n = piece.rows() * module.in;
  room.resize(static_cast<std::size_t>(n));
  drop(
      Dropout(call.factors.dropout),
      first_count(module, piece),
      n,
      x,
      room.data());
  return room.data();
}

void drop_gradient(
    const LinearCall& call,
    const LinearShape& module,
    const Piece& piece,
    float* dx) {
  if (call.factors.dropout > 0) {
    drop(
        Dropout(call.factors.dropout),
        first_count(module, piece),
        piece.rows() * module.in,
        dx,
        dx);
  }
}

std::vector<mx::array> linear(
    const mx::array& x,
    const std::vector<Linear>& modules,
    const LowRankFactors& factors) {
  std::vector<mx::array> inputs{x};
  LinearCall call{0, factors, {}};
  for (const Linear& module : modules) {
    call.modules.push_back(add_module(module, inputs));
    if (call.modules.back().in != x.shape(-1)) {
      fail(
          "linear",
          "expected {} features; got {}",
          call.modules.back().in,
          x.shape(-1));
    }
  }
  if (!all_ours(inputs)) {
    std::vector<mx::array> outputs;
    for (const Linear& module : modules) {
      outputs.push_back(composed(x, module, factors));
    }
    return outputs;
  }
  call.rows = rows_of(x);
  std::vector<mx::Shape> shapes;
  for (const LinearShape& module : call.modules) {
    shapes.push_back(x.shape());
    shapes.back().back() = static_cast<int>(module.out);
  }
  return make_nodes<LinearNode>(
      std::move(shapes), std::move(inputs), std::move(call));
}

} // namespace tessera::ops
