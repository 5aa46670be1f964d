#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "api/metal/executor_launcher.h"
#include "backend/cpu/sweep.h"
#include "tessera/attention.h"

// A case of the sweep through the public op, as MLX arrays.
namespace tessera::test {

inline mx::Dtype mlx_dtype(Dtype dtype) {
  return dtype == Dtype::float16 ? mx::float16
      : dtype == Dtype::bfloat16 ? mx::bfloat16
                                 : mx::float32;
}

inline mx::array plain_array(
    const Values& values, const mx::Shape& shape, mx::Dtype dtype) {
  // MLX converts from double by float, which segment ids do not survive.
  if (mx::issubdtype(dtype, mx::integer) || dtype == mx::bool_) {
    const std::vector<std::int64_t> whole(values.begin(), values.end());
    return mx::array(whole.begin(), shape, dtype);
  }
  const std::vector<float> floats(values.begin(), values.end());
  return mx::astype(mx::array(floats.begin(), shape, mx::float32), dtype);
}

// The values in memory as `layout` says.
inline mx::array laid_out(
    const Values& values, const Shape& s, Layout layout, mx::Dtype dtype) {
  const auto x = plain_array(values, {s[0], s[1], s[2], s[3]}, dtype);
  const auto stored = [](const mx::array& a) {
    auto copy = mx::contiguous(a);
    copy.eval();
    return copy;
  };
  switch (layout) {
    case Layout::heads_inside:
      return mx::swapaxes(stored(mx::swapaxes(x, 1, 2)), 1, 2);
    case Layout::transposed:
      return mx::swapaxes(stored(mx::swapaxes(x, 2, 3)), 2, 3);
    case Layout::padded: {
      const auto wide = stored(mx::pad(x, {{0, 0}, {0, 0}, {0, 0}, {0, 3}}));
      return mx::slice(wide, {0, 0, 0, 0}, {s[0], s[1], s[2], s[3]});
    }
    case Layout::contiguous:
      break;
  }
  return x;
}

inline AttentionOptions options_of(const Case& c, const Inputs& in) {
  const Problem& p = c.problem;
  const Scalars scalars = c.scalars();
  AttentionOptions o;
  o.implementation = Implementation::tessera;
  o.scale = static_cast<float>(scalars.scale);
  o.causal = p.causal;
  if (p.left != unbounded || p.right != unbounded) {
    o.window = Window{
        p.left == unbounded ? std::nullopt : std::optional(p.left),
        p.right == unbounded ? std::nullopt : std::optional(p.right)};
  }
  if (p.features.segments) {
    o.segments = Segments{
        plain_array(in.segments_q, {p.B, p.Nq}, mx::int32),
        plain_array(in.segments_k, {p.B, p.Nk}, mx::int32)};
  }
  if (p.features.prefix) {
    o.prefix = plain_array(in.prefix, {p.B}, mx::int32);
  }
  if (p.chunk > 0) {
    o.chunk = p.chunk;
  }
  if (p.features.mask) {
    o.mask = laid_out(in.mask, in.mask_shape, c.mask.layout, mx::bool_);
  }
  if (p.features.bias) {
    o.bias = laid_out(
        in.bias, in.bias_shape, c.bias.layout, mlx_dtype(c.bias.dtype));
  }
  if (p.features.alibi) {
    o.alibi = c.slopes.single[0] || p.B == 1
        ? plain_array(in.slopes, {p.Hq}, mlx_dtype(c.slopes.dtype))
        : plain_array(in.slopes, {p.B, p.Hq}, mlx_dtype(c.slopes.dtype));
  }
  if (p.features.softcap) {
    o.softcap = static_cast<float>(scalars.softcap);
  }
  if (p.features.sinks) {
    o.sinks = plain_array(in.sinks, {p.Hq}, mlx_dtype(c.sinks.dtype));
  }
  if (p.features.dropout) {
    o.dropout = static_cast<float>(scalars.dropout);
    const std::vector<std::uint64_t> seed = {in.seed};
    o.seed = mx::array(seed.begin(), {}, mx::uint64);
  }
  if (p.block_rows > 0) {
    o.blocks = BlockList{
        laid_out(in.blocks, in.blocks_shape, c.blocks.layout, mx::bool_),
        p.block_rows,
        p.block_columns};
  }
  return o;
}

// float64 values of an array of floats.
inline Values float_values(const mx::array& x) {
  auto y = mx::contiguous(mx::astype(x, mx::float32));
  y.eval();
  return Values(y.data<float>(), y.data<float>() + y.size());
}

// O alone.
inline void forward_through_the_op(const Case& c, const Inputs& in) {
  const auto operand = [&](Operand o, const Values& values) {
    return laid_out(
        values, shape(o, c.problem), c.layout, mlx_dtype(c.problem.dtype));
  };
  attention(
      operand(Operand::Q, in.Q),
      operand(Operand::K, in.K),
      operand(Operand::V, in.V),
      options_of(c, in))
      .eval();
}

// O, L and all gradients of a case by the public op, on whatever backend the
// CPU's streams go to.
inline Outputs through_the_op(const Case& c, const Inputs& in) {
  const Problem& p = c.problem;
  const auto dtype = mlx_dtype(p.dtype);
  const auto operand = [&](Operand o, const Values& values) {
    return laid_out(values, shape(o, p), c.layout, dtype);
  };
  const auto given = options_of(c, in);
  std::vector<mx::array> arguments = {
      operand(Operand::Q, in.Q),
      operand(Operand::K, in.K),
      operand(Operand::V, in.V)};
  std::vector<Values Outputs::*> targets = {
      &Outputs::dQ, &Outputs::dK, &Outputs::dV};
  for (const auto& [array, target] :
       {std::pair(given.bias, &Outputs::dbias),
        std::pair(given.alibi, &Outputs::dslopes),
        std::pair(given.sinks, &Outputs::dsinks)}) {
    if (array) {
      arguments.push_back(*array);
      targets.push_back(target);
    }
  }
  const auto [values, gradients] = mx::vjp(
      [&](const std::vector<mx::array>& x) {
        auto options = given;
        std::size_t next = 3;
        for (auto* array : {&options.bias, &options.alibi, &options.sinks}) {
          if (*array) {
            *array = x[next++];
          }
        }
        const auto out = attention_with_logsumexp(x[0], x[1], x[2], options);
        return std::vector<mx::array>{out.O, out.L};
      },
      arguments,
      {operand(Operand::dO, in.dO),
       plain_array(in.dL, {p.B, p.Hq, p.Nq}, mx::float32)});
  Outputs out;
  out.O = float_values(values[0]);
  out.L = float_values(values[1]);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    out.*targets[i] = float_values(gradients[i]);
  }
  return out;
}

// A case on the executor, as on a GPU of `family`.
inline Outputs on_metal(
    const Case& c,
    const Inputs& in,
    metal::Family family = metal::Family::m1,
    double seconds = metal::launch_seconds,
    std::shared_ptr<ExecutorLauncher> launcher =
        std::make_shared<ExecutorLauncher>()) {
  const MetalOnCpu scope({family, std::move(launcher), seconds});
  return through_the_op(c, in);
}

} // namespace tessera::test
