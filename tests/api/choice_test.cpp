#include <gtest/gtest.h>

#include "api/arrays.h"
#include "api/node/cpu_call.h"
#include "api/tuning.h"
#include "tessera/error.h"

// Which implementation a call takes, and why.
namespace tessera::test {
namespace {

const Problem problem = make_problem(2, 4, 2, 9, 12, 8, 16, true);

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

class SavedTable : public testing::Test {
 protected:
  static void use(const Problem& problem, const TableEntry& entry) {
    use_table({{key_of(problem, cpu_device()), entry}});
  }
  void TearDown() override {
    use_table({});
  }
};

TEST_F(SavedTable, DecidesWhereItsBlocksAreLegal) {
  const auto x = make(problem);
  AttentionOptions options;
  options.causal = true;
  const auto reason = [&] {
    return explain_attention(x.Q, x.K, x.V, options).reason;
  };
  const int lanes = register_tile(cpu_device().isa).lanes;
  use(problem, {2 * lanes, lanes, false});
  EXPECT_NE(reason().find("saved table"), std::string::npos) << reason();
  const auto tuned = plan_on_cpu(problem, 0);
  EXPECT_EQ(std::get<Plan>(tuned.planned).rows, 2 * lanes);
  EXPECT_TRUE(tuned.tuned.has_value());
  EXPECT_FALSE(plan_on_cpu(problem, 4 * lanes).tuned.has_value());

  // Of other kernels: neither its blocks nor its word on MLX count.
  use(problem, {lanes + 1, lanes, true});
  EXPECT_EQ(reason().find("saved table"), std::string::npos) << reason();
  const auto plain = plan_on_cpu(problem, 0);
  EXPECT_EQ(plain.planned, make_plan(problem, cpu_device()));
  EXPECT_FALSE(plain.tuned.has_value());
  EXPECT_NE(plain.not_tuned.find("multiple of"), std::string::npos);
}

TEST_F(SavedTable, LeavesFewQueriesSplit) {
  const auto few = make_problem(2, 4, 2, 3, 1200, 8, 16, true);
  const int lanes = register_tile(cpu_device().isa).lanes;
  use(few, {lanes, lanes, false});
  const auto plan = plan_on_cpu(few, 0);
  EXPECT_TRUE(plan.tuned.has_value());
  EXPECT_EQ(
      std::get<Plan>(plan.planned).split,
      std::get<Plan>(make_plan(few, cpu_device())).split);
  EXPECT_GT(std::get<Plan>(plan.planned).split, 0);
}

TEST(Choice, MlxGivesNoLogsumexp) {
  const auto x = make(problem);
  AttentionOptions options;
  options.implementation = Implementation::mlx;
  EXPECT_THROW(attention_with_logsumexp(x.Q, x.K, x.V, options), InputError);
}

// A call with each feature alone, and its name in what is said.
std::vector<std::pair<std::string, AttentionOptions>> features() {
  const AttentionOptions plain;
  std::vector<std::pair<std::string, AttentionOptions>> all(11, {"", plain});
  const auto ids = [](int n) {
    return mx::zeros({2, n}, mx::int32);
  };
  all[0].first = "a window";
  all[0].second.window = Window{3, std::nullopt};
  all[1].first = "segments";
  all[1].second.segments = Segments{ids(9), ids(12)};
  all[2].first = "a prefix";
  all[2].second.causal = true;
  all[2].second.prefix = mx::array(2);
  all[3].first = "a chunk";
  all[3].second.causal = true;
  all[3].second.chunk = 4;
  all[4].first = "a mask";
  all[4].second.mask = mx::array(true);
  all[5].first = "a bias";
  all[5].second.bias = mx::array(1.0f);
  all[6].first = "alibi";
  all[6].second.alibi = mx::zeros({4});
  all[7].first = "a softcap";
  all[7].second.softcap = 1.0f;
  all[8].first = "sinks";
  all[8].second.sinks = mx::zeros({4});
  all[9].first = "dropout";
  all[9].second.dropout = 0.5f;
  all[9].second.seed = mx::array(1);
  all[10].first = "a block list";
  all[10].second.blocks = BlockList{mx::full({1, 1, 1, 1}, true), 9, 12};
  return all;
}

TEST(Choice, MlxIsNotGivenAFeature) {
  const auto x = make(problem);
  for (auto [name, options] : features()) {
    const auto choice = explain_attention(x.Q, x.K, x.V, options);
    EXPECT_EQ(choice.name, "tessera/cpu");
    EXPECT_EQ(choice.reason.find("the call has " + name + ", "), 0u)
        << choice.reason;
    options.implementation = Implementation::mlx;
    const auto error = error_of(x, options);
    EXPECT_EQ(
        error.find(
            "[attention] expected implementation tessera with " + name + ", "),
        0u)
        << error;
    EXPECT_NE(error.find("; got mlx"), std::string::npos) << error;
  }
}

// Not for a single float32 query either, nor where no tile fits.
TEST(Choice, AFeatureStaysOurs) {
  const auto x = make(make_problem(1, 1, 1, 1, 12, 8, 8, false));
  AttentionOptions options;
  EXPECT_EQ(explain_attention(x.Q, x.K, x.V, options).name, "mlx");
  options.softcap = 1.0f;
  EXPECT_EQ(explain_attention(x.Q, x.K, x.V, options).name, "tessera/cpu");
  const auto wide = make(make_problem(1, 1, 1, 3, 3, 40000, 8, false));
  const auto error = error_of(wide, options);
  EXPECT_NE(error.find("KiB a thread"), std::string::npos) << error;
  EXPECT_NE(error.find("a softcap"), std::string::npos) << error;
}

// A window without bounds and a dropout of 0 are no features.
TEST(Choice, WhatChangesNothingIsNoFeature) {
  const auto x = make(problem);
  AttentionOptions options;
  options.window = Window{};
  options.seed = mx::array(1);
  options.implementation = Implementation::mlx;
  EXPECT_EQ(explain_attention(x.Q, x.K, x.V, options).name, "mlx");
}

} // namespace
} // namespace tessera::test
