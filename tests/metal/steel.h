#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dtype.h"
#include "metal/executor.h"

namespace tessera::metal {

// MLX's steel attention, unmodified: a kernel that nobody here wrote.
struct SteelCase {
  int queries, keys, head_dim;
  bool causal;
  Dtype dtype;
  int heads = 1, kv_heads = 1;
};

// As in MLX's kernel.
struct AttnParams {
  int B, H, D, qL, kL, gqa_factor;
  float scale;
  int NQ, NK, NQ_aligned, NK_aligned, qL_rem, kL_rem, qL_off;
  std::int64_t Q_strides[3], K_strides[3], V_strides[3], O_strides[3];
};

constexpr int block_rows = 32;

inline int block_columns(const SteelCase& c) {
  return c.head_dim < 128 ? 32 : 16;
}

struct Tensor {
  Dtype dtype;
  std::vector<std::byte> bytes;

  Tensor(int heads, int rows, int columns, Dtype type)
      : dtype(type),
        bytes(static_cast<std::size_t>(heads * rows * columns) * size()) {}
  std::size_t size() const {
    return dtype == Dtype::float32 ? 4 : 2;
  }
  double at(int i) const {
    return test::read(&bytes[static_cast<std::size_t>(i) * size()], dtype);
  }
  void set(int i, double x) {
    test::write(&bytes[static_cast<std::size_t>(i) * size()], x, dtype);
  }
  Buffer buffer(bool writable) {
    return {bytes.data(), bytes.size(), writable};
  }
};

inline Tensor filled(
    int heads, int rows, int columns, Dtype dtype, double phase) {
  Tensor t(heads, rows, columns, dtype);
  for (int i = 0; i < heads * rows * columns; ++i)
    t.set(i, std::sin(i * 0.7 + phase + 0.1 * (i % 13)));
  return t;
}

inline AttnParams params_of(const SteelCase& c) {
  const int columns = block_columns(c);
  const auto strides = [&](std::int64_t(&to)[3], int rows) {
    to[0] = to[1] = std::int64_t{rows} * c.head_dim;
    to[2] = c.head_dim;
  };
  AttnParams p{
      1,
      c.heads,
      c.head_dim,
      c.queries,
      c.keys,
      c.heads / c.kv_heads,
      static_cast<float>(1 / std::sqrt(c.head_dim)),
      (c.queries + block_rows - 1) / block_rows,
      (c.keys + columns - 1) / columns,
      c.queries / block_rows,
      c.keys / columns,
      c.queries % block_rows,
      c.keys % columns,
      c.keys - c.queries,
      {},
      {},
      {},
      {}};
  strides(p.Q_strides, c.queries);
  strides(p.K_strides, c.keys);
  strides(p.V_strides, c.keys);
  strides(p.O_strides, c.queries);
  return p;
}

inline const char* name_of(Dtype dtype) {
  return dtype == Dtype::float32 ? "float"
      : dtype == Dtype::float16  ? "half"
                                 : "bfloat16_t";
}

inline Dispatch steel_dispatch(
    const SteelCase& c,
    Tensor& q,
    Tensor& k,
    Tensor& v,
    Tensor& o,
    AttnParams& params) {
  const auto truth = [](bool b) {
    return b ? "true" : "false";
  };
  return {
      "#include \"mlx/backend/metal/kernels/utils.h\"\n"
      "#include "
      "\"mlx/backend/metal/kernels/steel/attn/kernels/steel_attention.h\"\n",
      fmt::format(
          "attention<{0}, 32, {1}, {2}, {2}, 4, 1, {0}, float>",
          name_of(c.dtype),
          block_columns(c),
          c.head_dim),
      {static_cast<std::uint32_t>(32 * params.NQ),
       static_cast<std::uint32_t>(4 * c.heads),
       1},
      {32, 4, 1},
      {q.buffer(false),
       k.buffer(false),
       v.buffer(false),
       o.buffer(true),
       {&params, sizeof params, false}},
      {{200, truth(params.qL_rem == 0)},
       {201, truth(params.kL_rem == 0)},
       {300, "false"},
       {301, truth(c.causal)},
       {302, "false"},
       {303, "false"}}};
}

// O of a case, and what it took.
struct SteelRun {
  Tensor q, k, v, o;
  Counts counts;
};

inline SteelRun run_steel(const SteelCase& c, const Options& options = {}) {
  SteelRun r{
      filled(c.heads, c.queries, c.head_dim, c.dtype, 0),
      filled(c.kv_heads, c.keys, c.head_dim, c.dtype, 1),
      filled(c.kv_heads, c.keys, c.head_dim, c.dtype, 2),
      Tensor(c.heads, c.queries, c.head_dim, c.dtype),
      {}};
  AttnParams params = params_of(c);
  r.counts = execute(steel_dispatch(c, r.q, r.k, r.v, r.o, params), options);
  return r;
}

} // namespace tessera::metal
