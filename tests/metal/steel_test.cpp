#include "metal/steel.h"

#include <algorithm>

#include "metal/run.h"

namespace tessera::metal {
namespace {

// In float64, rounded nowhere; of one element.
double exact(
    const SteelCase& c,
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

// Off by the rounding of the result and of P to float32 alone, each of the
// tile's few float32 operations on a row taken as an ulp.
void compare(
    const SteelCase& c,
    const Tensor& q,
    const Tensor& k,
    const Tensor& v,
    const Tensor& o) {
  for (int head = 0; head < c.heads; ++head)
    for (int row = 0; row < c.queries; row += 5)
      for (int column = 0; column < c.head_dim; column += 7) {
        double magnitude = 0;
        const double expected = exact(c, q, k, v, head, row, column, magnitude);
        const double got = o.at((head * c.queries + row) * c.head_dim + column);
        const double sums = magnitude * 0x1p-23 * (c.keys + c.head_dim);
        ASSERT_NEAR(got, expected, test::ulp(expected, c.dtype) + sums)
            << "row " << row << " column " << column;
      }
}

struct Steel : testing::TestWithParam<SteelCase> {};

TEST_P(Steel, AgreesWithFloat64) {
  const SteelCase& c = GetParam();
  const SteelRun run = run_steel(c);
  compare(c, run.q, run.k, run.v, run.o);
  EXPECT_EQ(run.counts.unwritten_bytes, 0u);
}

std::vector<SteelCase> cases() {
  std::vector<SteelCase> all;
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
      const SteelCase& c = test.param;
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

// Of 128 queries and keys in bfloat16, by the text itself: 4 blocks of 32 rows
// of 4 simdgroups, 4 (D 128: 8) blocks of keys, under causal those up to the
// diagonal; a matrix operation an 8 x 8 x 8, an exponential a score and one a
// row and block for the old maximum, of each of the 4 threads that hold the
// row.
TEST(SteelCounts, AreThoseOfTheText) {
  for (const Counted& expected :
       {Counted{64, false, 4096, 18432, 72, 1024, 9728, 217088},
        Counted{64, true, 2560, 11520, 48, 640, 9728, 176128},
        Counted{128, false, 8192, 20480, 136, 12288, 14848, 364544},
        Counted{128, true, 5120, 12800, 88, 7680, 14848, 276480}}) {
    const SteelCase c{
        128, 128, expected.head_dim, expected.causal, Dtype::bfloat16};
    const SteelRun run = run_steel(c);
    const Counts& counts = run.counts;
    EXPECT_EQ(counts.matrix_operations, expected.matrix);
    EXPECT_EQ(counts.exponentials, expected.exponentials);
    EXPECT_EQ(counts.threadgroup_barriers, expected.group_barriers);
    EXPECT_EQ(counts.simdgroup_barriers, expected.simd_barriers);
    EXPECT_EQ(counts.threadgroup_memory, expected.memory);
    EXPECT_EQ(counts.device_bytes_loaded, expected.loaded);
    EXPECT_EQ(counts.device_bytes_stored, run.o.bytes.size());
  }
}

TEST(SteelCounts, HoldUnderEveryScheduleAndContentOfRegisters) {
  const SteelCase c{33, 63, 64, true, Dtype::bfloat16};
  const SteelRun once = run_steel(c);
  const SteelRun often = run_steel(c, {.schedules = 4, .registers = true});
  EXPECT_EQ(often.counts, once.counts);
  EXPECT_EQ(once.o.bytes, often.o.bytes);
}

} // namespace
} // namespace tessera::metal
