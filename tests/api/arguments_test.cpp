#include <gtest/gtest.h>

#include <limits>

#include "api/arrays.h"
#include "tessera/error.h"

namespace tessera::test {
namespace {

const Problem problem = make_problem(2, 4, 2, 9, 12, 8, 16, true);

std::string error_of(const Arrays& x, const AttentionOptions& options = {}) {
  try {
    attention(x.Q, x.K, x.V, options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Arguments, AreRefusedWithWhatCame) {
  const auto x = make(problem);
  EXPECT_EQ(error_of(x), "");
  EXPECT_EQ(
      error_of({x.Q, normal({2, 3, 12, 8}, 1), normal({2, 3, 12, 8}, 1)}),
      "[attention] expected Q and K heads in a whole ratio; got float32 "
      "(2,4,9,8) and float32 (2,3,12,8)");
  const std::pair<Arrays, const char*> wrong[] = {
      {{mx::take(x.Q, 0, 0), x.K, x.V}, "expected Q of 4 axes"},
      {{mx::astype(x.Q, mx::int32), x.K, x.V}, "expected Q in float32"},
      {{mx::astype(x.Q, mx::float16), x.K, x.V}, "Q and K of one dtype"},
      {{x.Q, x.K, mx::astype(x.V, mx::float16)}, "K and V of one dtype"},
      {{normal({3, 4, 9, 8}, 1), x.K, x.V}, "Q and K of one batch size"},
      {{x.Q, x.K, normal({1, 2, 12, 16}, 1)}, "K and V of one batch size"},
      {{x.Q, x.K, normal({2, 4, 12, 16}, 1)}, "K and V of as many heads"},
      {{x.Q, normal({2, 2, 12, 9}, 1), x.V}, "Q and K of one head dimension"},
      {{x.Q, x.K, normal({2, 2, 13, 16}, 1)}, "K and V of one length"},
      {{x.Q, x.K, normal({2, 2, 12, 0}, 1)}, "at least one head"}};
  for (const auto& [arrays, text] : wrong) {
    EXPECT_NE(error_of(arrays).find(text), std::string::npos)
        << error_of(arrays);
  }
}

TEST(Arguments, OptionsAreChecked) {
  const auto x = make(problem);
  AttentionOptions options;
  options.scale = std::numeric_limits<float>::infinity();
  EXPECT_NE(error_of(x, options).find("finite scale"), std::string::npos);
  options = {};
  options.block_size = -1;
  EXPECT_NE(error_of(x, options).find("block size"), std::string::npos);
  options.block_size = 3;
  EXPECT_NE(error_of(x, options).find("positive multiple"), std::string::npos);
  options.block_size = 4096;
  EXPECT_NE(error_of(x, options).find("KiB a thread"), std::string::npos);
  options.block_size = 64;
  EXPECT_EQ(error_of(x, options), "");
  options.implementation = Implementation::mlx;
  EXPECT_NE(error_of(x, options).find("no block size"), std::string::npos);
}

TEST(Arguments, ScaleAndBlockSizeReachTheKernel) {
  const auto x = make(problem);
  AttentionOptions options;
  options.causal = true;
  const auto plain = attention(x.Q, x.K, x.V, options);
  options.scale = 1 / std::sqrt(8.0f);
  EXPECT_TRUE(same_bits(attention(x.Q, x.K, x.V, options), plain));
  options.scale = 0.1f;
  EXPECT_FALSE(same_bits(attention(x.Q, x.K, x.V, options), plain));
  EXPECT_TRUE(same_bits(
      attention(x.Q, x.K, x.V, options),
      attention_with_logsumexp(x.Q, x.K, x.V, options).O));
}

TEST(Choice, SaysWhyEachIsTaken) {
  const auto x = make(problem);
  AttentionOptions options;
  const auto explain = [&] {
    return explain_attention(x.Q, x.K, x.V, options);
  };
  EXPECT_EQ(explain().name, "tessera/cpu");
  EXPECT_NE(
      explain().reason.find("measured faster than MLX"), std::string::npos);
  options.implementation = Implementation::tessera;
  EXPECT_EQ(explain().name, "tessera/cpu");
  options.implementation = Implementation::mlx;
  EXPECT_EQ(explain().name, "mlx");
}

TEST(Choice, ASingleFloat32QueryGoesToMlx) {
  const auto one = make_problem(2, 4, 2, 1, 12, 8, 16, true);
  const auto x = make(one);
  AttentionOptions options;
  options.causal = true;
  EXPECT_EQ(explain_attention(x.Q, x.K, x.V, options).name, "mlx");
  const auto half = make(one, mx::bfloat16);
  EXPECT_EQ(
      explain_attention(half.Q, half.K, half.V, options).name, "tessera/cpu");
  // The logsumexp is ours alone; both give one O.
  const auto out = attention_with_logsumexp(x.Q, x.K, x.V, options);
  const auto expected =
      expect_of(one, x, mx::zeros({2, 4, 1, 16}), mx::zeros({2, 4, 1}));
  EXPECT_EQ(difference(expected, values_of(out.O), &Outputs::O), "");
  EXPECT_EQ(
      difference(
          expected, values_of(attention(x.Q, x.K, x.V, options)), &Outputs::O),
      "");
  options.block_size = 32;
  EXPECT_EQ(explain_attention(x.Q, x.K, x.V, options).name, "tessera/cpu");
}

TEST(Choice, SaysWhereMlxDiffers) {
  const auto x = make(make_problem(1, 1, 1, 9, 3, 8, 8, true));
  AttentionOptions options;
  options.implementation = Implementation::mlx;
  options.causal = true;
  EXPECT_NE(
      explain_attention(x.Q, x.K, x.V, options).reason.find("mean of V"),
      std::string::npos);
}

TEST(Choice, AHeadDimensionBeyondEveryTileGoesToMlx) {
  const auto x = make(make_problem(1, 1, 1, 3, 3, 40000, 8, false));
  AttentionOptions options;
  const auto choice = explain_attention(x.Q, x.K, x.V, options);
  EXPECT_EQ(choice.name, "mlx");
  EXPECT_NE(choice.reason.find("KiB a thread"), std::string::npos);
  EXPECT_EQ(attention(x.Q, x.K, x.V).shape(), (mx::Shape{1, 1, 3, 8}));
  options.implementation = Implementation::tessera;
  EXPECT_NE(error_of(x, options), "");
}

TEST(Choice, MlxGivesNoLogsumexp) {
  const auto x = make(problem);
  AttentionOptions options;
  options.implementation = Implementation::mlx;
  EXPECT_THROW(attention_with_logsumexp(x.Q, x.K, x.V, options), InputError);
}

} // namespace
} // namespace tessera::test
