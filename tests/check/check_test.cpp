#include "check/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "bench/contender.h"
#include "check/philox.h"

namespace tessera::bench {
namespace {

// The vectors of the authors' own library (Random123, kat_vectors).
TEST(Philox, GivesThePublishedNumbers) {
  EXPECT_EQ(
      philox({0, 0, 0, 0}, {0, 0}),
      (std::array<std::uint32_t, 4>{
          0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(
      philox(
          {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
          {0xa4093822, 0x299f31d0}),
      (std::array<std::uint32_t, 4>{
          0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

AttentionCase small() {
  AttentionCase c;
  c.B = 2;
  c.Hq = 4;
  c.Hkv = 2;
  c.Nq = c.Nk = 33;
  c.D = c.Dv = 16;
  return c;
}

// MLX's op, and what is wrong with it on purpose.
Function mlx_op(float factor) {
  return [=](const Arrays& a) {
    return mx::fast::scaled_dot_product_attention(
        a.Q,
        a.K,
        a.V,
        factor / std::sqrt(static_cast<float>(a.attention.D)),
        a.attention.causal ? "causal" : "");
  };
}

double error_of(const Arrays& arrays, Function function, bool backward) {
  MlxContender contender(arrays, std::move(function));
  return error_of(arrays, contender, backward).value();
}

TEST(Check, PassesWhatIsRight) {
  for (const auto dtype : {mx::float32, mx::float16, mx::bfloat16}) {
    auto c = small();
    c.dtype = dtype;
    EXPECT_LE(error_of(random_arrays(c, false), mlx_op(1), true), 1);
    c.causal = true;
    EXPECT_LE(error_of(random_arrays(c, false), mlx_op(1), true), 1);
  }
}

TEST(Check, PassesABlockListAndAMask) {
  auto c = small();
  c.blocks = BlockSides{8, 16};
  for (const auto* mask : {"", "Bx1xNxN"}) {
    c.mask = mask;
    const auto arrays = random_arrays(c, false);
    EXPECT_LE(error_of(arrays, *tessera_contender(arrays), true).value(), 1);
    EXPECT_LE(error_of(arrays, *mlx_contender(arrays, true), true).value(), 1);
  }
}

// OpenBLAS may be exact to less than an ulp of the sum where ours, over the
// heads of a group too, is not.
TEST(Check, PassesLongSumsInAnyOrder) {
  for (const int heads : {1, 8}) {
    AttentionCase c;
    c.Hq = heads;
    c.Hkv = std::max(1, heads / 4);
    c.Nq = c.Nk = 512;
    c.D = c.Dv = heads == 1 ? 64 : 32;
    c.causal = heads > 1;
    const auto arrays = random_arrays(c, false);
    EXPECT_LE(error_of(arrays, *tessera_contender(arrays), true).value(), 1);
  }
}

// dS of the first query is 0, the difference of two equal sums of 256 products.
TEST(Check, PassesWhatCancels) {
  AttentionCase c;
  c.B = 2;
  c.Hq = 4;
  c.Hkv = 2;
  c.Nq = c.Nk = 130;
  c.D = c.Dv = 256;
  c.causal = true;
  c.bias = "1xHxNxN";
  const auto arrays = random_arrays(c, true);
  EXPECT_LE(error_of(arrays, *tessera_contender(arrays), true).value(), 1);
}

TEST(Check, SeesWhatIsWrong) {
  auto c = small();
  EXPECT_GT(error_of(random_arrays(c, false), mlx_op(1.001f), false), 1);
  const auto nothing = [](const Arrays& a) {
    return mx::zeros_like(a.dO);
  };
  EXPECT_GT(error_of(random_arrays(c, false), nothing, true), 1);
  const auto nan = [](const Arrays& a) {
    return mx::multiply(a.dO, mx::array(std::nanf("")));
  };
  EXPECT_GT(error_of(random_arrays(c, false), nan, false), 1);
  c.causal = true; // and computed without
  const auto dense = [](const Arrays& a) {
    auto changed = a;
    changed.attention.causal = false;
    return mlx_op(1)(changed);
  };
  EXPECT_GT(error_of(random_arrays(c, false), dense, false), 1);
}

// A gradient may be wrong where the output is not.
TEST(Check, LooksAtTheGradients) {
  const auto cut = [](const Arrays& a) {
    auto changed = a;
    changed.K = mx::stop_gradient(a.K);
    return mlx_op(1)(changed);
  };
  const auto arrays = random_arrays(small(), false);
  EXPECT_LE(error_of(arrays, cut, false), 1);
  EXPECT_GT(error_of(arrays, cut, true), 1);
}

} // namespace
} // namespace tessera::bench
