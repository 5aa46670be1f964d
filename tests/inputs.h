#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "plan/problem.h"

// What a call of attention brings, and the rule of who sees whom.
namespace tessera::test {

using Values = std::vector<double>;
using Shape = std::array<int, 4>;

inline std::size_t elements(const Shape& shape) {
  std::size_t count = 1;
  for (const int side : shape) {
    count *= static_cast<std::size_t>(side);
  }
  return count;
}

// Where the element of a whole array stands in a row-major array of `shape`
// that is broadcast along its axes of 1.
inline std::size_t broadcast_index(const Shape& shape, const Shape& element) {
  std::size_t index = 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    index *= static_cast<std::size_t>(shape[axis]);
    index += static_cast<std::size_t>(shape[axis] == 1 ? 0 : element[axis]);
  }
  return index;
}

// Row-major, in the shapes of the semantics: Q [B, Hq, Nq, D], dL [B, Hq,
// Nq]... in the problem's dtype. What a feature brings is read where the
// problem has the feature; it has a dtype of its own where it is of floats, and
// a shape where it may be broadcast.
struct Inputs {
  Values Q, K, V, dO, dL;
  Values bias, slopes, sinks;
  Values mask, blocks; // 0: off
  Values segments_q, segments_k, prefix;
  Shape bias_shape{}, slopes_shape{}, mask_shape{}, blocks_shape{};
  Dtype bias_dtype{}, slopes_dtype{}, sinks_dtype{};
  std::uint64_t seed = 0; // of dropout
};

// The numbers of a call.
struct Scalars {
  double scale = 1;
  double softcap = 0;
  double dropout = 0;
};

// Whether query i of head h sees key j in batch entry b, the sentence of the
// semantics word by word. It is written from that sentence alone: plan/mask.cpp
// and the kernels are held to it.
inline bool seen(
    const Problem& p, const Inputs& in, int b, int h, int i, int j) {
  const auto at = [](const Values& ids, int batch, int length, int index) {
    return ids
        [static_cast<std::size_t>(batch) * static_cast<std::size_t>(length) +
         static_cast<std::size_t>(index)];
  };
  const auto chunk = [&](std::int64_t x) {
    return std::floor(static_cast<double>(x) / p.chunk);
  };
  const Features& has = p.features;
  const std::int64_t position = std::int64_t{i} + p.Nk - p.Nq; // i'
  const bool causal =
      !p.causal || j <= position || (has.prefix && j < at(in.prefix, b, 1, 0));
  const bool window = (p.left == unbounded || j >= position - p.left) &&
      (p.right == unbounded || j <= position + p.right);
  const bool same_chunk = p.chunk == 0 || chunk(j) == chunk(position);
  const bool segments = !has.segments ||
      at(in.segments_q, b, p.Nq, i) == at(in.segments_k, b, p.Nk, j);
  const bool mask =
      !has.mask || in.mask[broadcast_index(in.mask_shape, {b, h, i, j})] != 0;
  const bool block = p.block_rows == 0 ||
      in.blocks[broadcast_index(
          in.blocks_shape, {b, h, i / p.block_rows, j / p.block_columns})] != 0;
  return causal && window && same_chunk && segments && mask && block;
}

} // namespace tessera::test
