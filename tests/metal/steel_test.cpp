#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "dtype.h"
#include "metal/run.h"

namespace tessera::metal {
namespace {

// MLX's steel attention, unmodified: a kernel that nobody here wrote.
struct Case {
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

int block_columns(const Case& c) {
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

Tensor filled(int heads, int rows, int columns, Dtype dtype, double phase) {
  Tensor t(heads, rows, columns, dtype);
  for (int i = 0; i < heads * rows * columns; ++i)
    t.set(i, std::sin(i * 0.7 + phase + 0.1 * (i % 13)));
  return t;
}

AttnParams params_of(const Case& c) {
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

const char* name_of(Dtype dtype) {
  return dtype == Dtype::float32 ? "float"
      : dtype == Dtype::float16  ? "half"
                                 : "bfloat16_t";
}

// In float64, rounded nowhere; of one element.
double exact(
    const Case& c,
    const Tensor& q,
    const Tensor& k,
    const Tensor& v,
    int head,
    int row,
    int column,
    double& magnitude) {
  const int kv = head / (c.heads / c.kv_heads) * c.keys * c.head_dim;
  const int limit = c.causal ? row + c.keys - c.queries + 1 : c.keys;
  std::vector<double> scores;
  for (int j = 0; j < limit; ++j) {
    double score = 0;
    for (int d = 0; d < c.head_dim; ++d)
      score += q.at((head * c.queries + row) * c.head_dim + d) *
          k.at(kv + j * c.head_dim + d);
    scores.push_back(score / std::sqrt(c.head_dim));
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0, total = 0;
  magnitude = 0;
  for (int j = 0; j < limit; ++j) {
    const double p = std::exp(scores[static_cast<std::size_t>(j)] - top);
    const double x = v.at(kv + j * c.head_dim + column);
    sum += p;
    total += p * x;
    magnitude += p * std::abs(x);
  }
  magnitude /= sum;
  return total / sum;
}

struct Steel : testing::TestWithParam<Case> {
  Counts run(const Case& c, Tensor& o, const Options& options = {}) {
    Tensor q = filled(c.heads, c.queries, c.head_dim, c.dtype, 0);
    Tensor k = filled(c.kv_heads, c.keys, c.head_dim, c.dtype, 1);
    Tensor v = filled(c.kv_heads, c.keys, c.head_dim, c.dtype, 2);
    AttnParams params = params_of(c);
    const Counts counts = execute(dispatch(c, q, k, v, o, params), options);
    compare(c, q, k, v, o);
    return counts;
  }

  Dispatch dispatch(
      const Case& c,
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

  // Off by the rounding of the result and of P to float32 alone, each of the
  // tile's few float32 operations on a row taken as an ulp.
  void compare(
      const Case& c,
      const Tensor& q,
      const Tensor& k,
      const Tensor& v,
      const Tensor& o) {
    for (int head = 0; head < c.heads; ++head)
      for (int row = 0; row < c.queries; row += 5)
        for (int column = 0; column < c.head_dim; column += 7) {
          double magnitude = 0;
          const double expected =
              exact(c, q, k, v, head, row, column, magnitude);
          const double got =
              o.at((head * c.queries + row) * c.head_dim + column);
          const double sums = magnitude * 0x1p-23 * (c.keys + c.head_dim);
          ASSERT_NEAR(got, expected, test::ulp(expected, c.dtype) + sums)
              << "row " << row << " column " << column;
        }
  }
};

TEST_P(Steel, AgreesWithFloat64) {
  const Case& c = GetParam();
  Tensor o(c.heads, c.queries, c.head_dim, c.dtype);
  const Counts counts = run(c, o);
  EXPECT_EQ(counts.unwritten_bytes, 0u);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Dtype dtype : {Dtype::bfloat16, Dtype::float16, Dtype::float32})
    for (const int head_dim : {64, 80, 128})
      for (const bool causal : {false, true}) {
        all.push_back({64, 64, head_dim, causal, dtype});
        all.push_back({33, 63, head_dim, causal, dtype, 4, 2});
      }
  return all;
}

INSTANTIATE_TEST_SUITE_P(
    All, Steel, testing::ValuesIn(cases()), [](const auto& test) {
      const Case& c = test.param;
      return fmt::format(
          "{}_D{}_{}x{}{}",
          name_of(c.dtype),
          c.head_dim,
          c.queries,
          c.keys,
          c.causal ? "_causal" : "");
    });

struct Counted {
  int head_dim;
  bool causal;
  std::uint64_t matrix, exponentials, group_barriers, simd_barriers, memory,
      loaded;
};

struct SteelCounts : Steel {};

// Of 128 queries and keys in bfloat16, by the text itself: 4 blocks of 32 rows
// of 4 simdgroups, 4 (D 128: 8) blocks of keys, under causal those up to the
// diagonal; a matrix operation an 8 x 8 x 8, an exponential a score and one a
// row and block for the old maximum, of each of the 4 threads that hold the
// row.
TEST_F(SteelCounts, AreThoseOfTheText) {
  for (const Counted& expected :
       {Counted{64, false, 4096, 18432, 72, 1024, 9728, 217088},
        Counted{64, true, 2560, 11520, 48, 640, 9728, 176128},
        Counted{128, false, 8192, 20480, 136, 12288, 14848, 364544},
        Counted{128, true, 5120, 12800, 88, 7680, 14848, 276480}}) {
    const Case c{128, 128, expected.head_dim, expected.causal, Dtype::bfloat16};
    Tensor o(1, 128, c.head_dim, c.dtype);
    const Counts counts = run(c, o);
    EXPECT_EQ(counts.matrix_operations, expected.matrix);
    EXPECT_EQ(counts.exponentials, expected.exponentials);
    EXPECT_EQ(counts.threadgroup_barriers, expected.group_barriers);
    EXPECT_EQ(counts.simdgroup_barriers, expected.simd_barriers);
    EXPECT_EQ(counts.threadgroup_memory, expected.memory);
    EXPECT_EQ(counts.device_bytes_loaded, expected.loaded);
    EXPECT_EQ(counts.device_bytes_stored, o.bytes.size());
  }
}

TEST_F(SteelCounts, HoldUnderEveryScheduleAndContentOfRegisters) {
  const Case c{33, 63, 64, true, Dtype::bfloat16};
  Tensor once(1, 33, 64, c.dtype), often(1, 33, 64, c.dtype);
  const Counts counts = run(c, once);
  EXPECT_EQ(run(c, often, {.schedules = 4, .registers = true}), counts);
  EXPECT_EQ(once.bytes, often.bytes);
}

} // namespace
} // namespace tessera::metal
