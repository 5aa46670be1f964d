#include <gtest/gtest.h>

#include <limits>

#include "api/arrays.h"
#include "api/problem.h"
#include "tessera/error.h"

namespace tessera::test {
namespace {

const Problem problem = make_problem(2, 4, 2, 9, 12, 8, 16, true);

using Options = AttentionOptions;

// Expects that a causal call with a change to its options is refused with this
// text, in full.
template <class Change>
void expect_refused(Change change, const std::string& text) {
  const auto x = make(problem); // B 2, Hq 4, Nq 9, Nk 12
  Options options;
  options.causal = true;
  change(options);
  EXPECT_EQ(error_of(x, options), "[attention] " + text);
}

mx::array whole(mx::Shape shape) {
  return mx::zeros(std::move(shape), mx::int32);
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
  options.block_size = 65536;
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

TEST(Arguments, NumbersAreChecked) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  expect_refused(
      [=](Options& o) { o.scale = nan; }, "expected a finite scale; got nan");
  for (const float c : {0.0f, -1.0f, 1e-40f, inf, nan}) {
    expect_refused(
        [=](Options& o) { o.softcap = c; },
        fmt::format(
            "expected a finite softcap of at least 1.2e-38; got {}", c));
  }
  for (const float p : {-0.5f, 1.0f, nan}) {
    expect_refused(
        [=](Options& o) {
          o.dropout = p;
          o.seed = mx::array(1);
        },
        fmt::format("expected a dropout in [0, 1); got {}", p));
  }
  expect_refused(
      [](Options& o) { o.dropout = 0.5f; },
      "expected a seed with dropout, which draws nothing of its own; got none");
}

TEST(Arguments, GeometryIsChecked) {
  expect_refused(
      [](Options& o) {
        o.window = Window{-1, 2};
      },
      "expected the window's left side to be 0 or more, or absent where it has "
      "no bound; got -1");
  expect_refused(
      [](Options& o) {
        o.window = Window{std::nullopt, -7};
      },
      "expected the window's right side to be 0 or more, or absent where it "
      "has no bound; got -7");
  expect_refused(
      [](Options& o) { o.chunk = 0; },
      "expected a chunk of 1 key or more; got 0");
  expect_refused(
      [](Options& o) {
        o.causal = false;
        o.chunk = 4;
      },
      "expected causal with a chunk; got causal = false");
  expect_refused(
      [](Options& o) {
        o.causal = false;
        o.prefix = mx::array(4);
      },
      "expected causal with a prefix; got causal = false");
  expect_refused(
      [](Options& o) {
        o.blocks = BlockList{mx::full({1, 1, 1, 1}, true), 9, 0};
      },
      "expected blocks of 1 row and 1 column or more; got 9 by 0");
}

TEST(Arguments, MaskAndBiasAreChecked) {
  expect_refused(
      [](Options& o) {
        o.mask = mx::zeros({9, 12});
      },
      "expected a boolean mask that broadcasts to (2,4,9,12), [B, Hq, Nq, Nk] "
      "(scores to add are a bias); got float32 (9,12)");
  for (const mx::Shape& shape :
       {mx::Shape{12, 9}, {3, 1, 9, 12}, {1, 2, 4, 9, 12}, {0}}) {
    expect_refused(
        [&](Options& o) { o.mask = mx::full(shape, true); },
        "expected a boolean mask that broadcasts to (2,4,9,12), [B, Hq, Nq, "
        "Nk] (scores to add are a bias); got bool " +
            text(shape));
    expect_refused(
        [&](Options& o) { o.bias = mx::zeros(shape); },
        "expected a bias in float32, float16 or bfloat16 that broadcasts to "
        "(2,4,9,12), [B, Hq, Nq, Nk] (a boolean one is a mask); got float32 " +
            text(shape));
  }
  expect_refused(
      [](Options& o) {
        o.bias = mx::full({9, 12}, true);
      },
      "expected a bias in float32, float16 or bfloat16 that broadcasts to "
      "(2,4,9,12), [B, Hq, Nq, Nk] (a boolean one is a mask); got bool (9,12)");
}

TEST(Arguments, ArraysOfAHeadAreChecked) {
  expect_refused(
      [](Options& o) { o.alibi = mx::zeros({2}); },
      "expected alibi slopes in float32, float16 or bfloat16 of shape (4), "
      "[Hq], or (2,4), [B, Hq]; got float32 (2)");
  expect_refused(
      [&](Options& o) { o.alibi = whole({4}); },
      "expected alibi slopes in float32, float16 or bfloat16 of shape (4), "
      "[Hq], or (2,4), [B, Hq]; got int32 (4)");
  expect_refused(
      [](Options& o) {
        o.sinks = mx::zeros({2, 4});
      },
      "expected sinks in float32, float16 or bfloat16 of shape (4), [Hq]; got "
      "float32 (2,4)");
}

TEST(Arguments, ArraysOfPositionsAreChecked) {
  expect_refused(
      [&](Options& o) {
        o.segments = Segments{whole({2, 12}), whole({2, 12})};
      },
      "expected segments.q of an integer dtype and shape (2,9), [B, Nq]; got "
      "int32 (2,12)");
  expect_refused(
      [&](Options& o) {
        o.segments = Segments{whole({2, 9}), mx::zeros({2, 12})};
      },
      "expected segments.k of an integer dtype and shape (2,12), [B, Nk]; got "
      "float32 (2,12)");
  expect_refused(
      [](Options& o) { o.prefix = mx::array(1.0f); },
      "expected a prefix of an integer dtype, a scalar or of shape (2), [B]; "
      "got float32 ()");
  expect_refused(
      [&](Options& o) { o.prefix = whole({1}); },
      "expected a prefix of an integer dtype, a scalar or of shape (2), [B]; "
      "got int32 (1)");
}

TEST(Arguments, SeedAndBlockListAreChecked) {
  for (const auto& seed :
       {mx::array(1.0f), mx::array({1, 2}), mx::array(true)}) {
    expect_refused(
        [&](Options& o) { o.seed = seed; },
        "expected a seed that is an integer scalar; got " + text(seed));
  }
  for (const auto& list :
       {mx::full({1, 1, 3, 2}, true),
        mx::full({2, 4, 3}, true),
        mx::full({3, 1, 3, 3}, true),
        mx::zeros({2, 4, 3, 3})}) {
    expect_refused(
        [&](Options& o) {
          o.blocks = BlockList{list, 4, 5};
        },
        "expected a boolean blocks.list of shape (2,4,3,3), [B or 1, Hq or 1, "
        "ceil(Nq / 4), ceil(Nk / 5)]; got " +
            text(list));
  }
}

// The largest sides there are, whose sums an int does not hold.
TEST(Arguments, SidesMayBeTheLargestInteger) {
  const auto x = make(problem);
  const int most = std::numeric_limits<int>::max();
  AttentionOptions options;
  options.causal = true;
  options.window = Window{most, most};
  options.chunk = most;
  options.blocks = BlockList{mx::full({1, 1, 1, 1}, true), most, most};
  options.implementation = Implementation::tessera;
  const auto got = attention(x.Q, x.K, x.V, options);
  const auto expected =
      expect_of(problem, x, mx::zeros({2, 4, 9, 16}), mx::zeros({2, 4, 9}));
  EXPECT_EQ(difference(expected, values_of(got), &Outputs::O), "");
}

} // namespace
} // namespace tessera::test
