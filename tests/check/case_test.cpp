#include "check/case.h"

#include <gtest/gtest.h>

#include "check/arrays.h"
#include "tessera/error.h"

namespace tessera::cases {
namespace {

AttentionCase small(int Nq, int Nk) {
  AttentionCase c;
  c.B = 2;
  c.Hq = 4;
  c.Hkv = 2;
  c.Nq = Nq;
  c.Nk = Nk;
  c.D = c.Dv = 8;
  return c;
}

int floor_div(int a, int b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

// The definition of include/tessera/attention.h, pair by pair.
bool sees(const AttentionCase& c, int i, int j) {
  const int at = i + c.Nk - c.Nq;
  bool seen = !c.causal || j <= at || j < c.prefix.value_or(0);
  if (c.window) {
    seen = seen && (!c.window->left || j >= at - *c.window->left) &&
        (!c.window->right || j <= at + *c.window->right);
  }
  if (c.chunk) {
    seen = seen && floor_div(j, *c.chunk) == floor_div(at, *c.chunk);
  }
  int start = 0;
  for (const int length : c.segments) {
    const bool has_i = start <= i && i < start + length;
    const bool has_j = start <= j && j < start + length;
    seen = seen && has_i == has_j;
    start += length;
  }
  return seen;
}

void expect_definition(const AttentionCase& c) {
  double pairs = 0;
  for (int i = 0; i < c.Nq; ++i) {
    const auto span = seen(c, i);
    for (int j = 0; j < c.Nk; ++j) {
      EXPECT_EQ(span.lo <= j && j < span.hi, sees(c, i, j))
          << describe(c) << ": " << i << ", " << j;
      pairs += sees(c, i, j);
    }
  }
  EXPECT_EQ(seen_pairs(random_arrays(c, false)), pairs * c.B * c.Hq)
      << describe(c);
}

TEST(Case, SeesWhatTheDefinitionSays) {
  for (const auto& [Nq, Nk] : {std::pair{7, 7}, {5, 9}, {9, 5}, {1, 6}}) {
    auto c = small(Nq, Nk);
    expect_definition(c);
    c.window = Window{2, std::nullopt};
    expect_definition(c);
    c.window = Window{std::nullopt, 1};
    expect_definition(c);
    c.causal = true;
    expect_definition(c);
    c.window = std::nullopt;
    c.prefix = 3;
    expect_definition(c);
    c.chunk = 4;
    expect_definition(c);
  }
}

TEST(Case, SeesItsOwnDocument) {
  auto c = small(9, 9);
  c.segments = {2, 1, 6};
  expect_definition(c);
  c.causal = true;
  expect_definition(c);
}

TEST(Case, CountsTheMask) {
  auto c = small(6, 6);
  c.causal = true;
  for (const auto* shape :
       {"BxHxNxN", "1x1xNxN", "Bx1x1xN", "NxN", "1,H,N,1"}) {
    c.mask = shape;
    const auto arrays = random_arrays(c, false);
    auto mask = mx::astype(
        mx::broadcast_to(*arrays.options.mask, {c.B, c.Hq, c.Nq, c.Nk}),
        mx::float32);
    auto kept = mx::sum(
        mx::multiply(mask, mx::astype(seen_by(c, all_rows(c)), mx::float32)));
    EXPECT_EQ(seen_pairs(arrays), kept.item<float>()) << shape;
  }
}

TEST(Case, CountsTheBlockList) {
  auto c = small(7, 11);
  c.causal = true;
  c.blocks = BlockSides{2, 4};
  const auto arrays = random_arrays(c, false);
  const auto list = mx::contiguous(arrays.options.blocks->list);
  mx::eval(list);
  double pairs = 0;
  for (int i = 0; i < c.Nq; ++i) {
    for (int j = 0; j < c.Nk; ++j) {
      const int block = i / 2 * 3 + j / 4;
      pairs += sees(c, i, j) && list.data<bool>()[block];
    }
  }
  EXPECT_LT(pairs, 7 * 8);
  EXPECT_EQ(seen_pairs(arrays), pairs * c.B * c.Hq);
}

TEST(Case, ReadsShapes) {
  const auto c = small(6, 9);
  EXPECT_EQ(resolve("BxHxNxN", c, "--bias"), (mx::Shape{2, 4, 6, 9}));
  EXPECT_EQ(resolve("1,1,N,N", c, "--bias"), (mx::Shape{1, 1, 6, 9}));
  EXPECT_EQ(resolve("4x1x9", c, "--bias"), (mx::Shape{4, 1, 9}));
  for (const auto* text :
       {"", "x", "3", "NxHxNxN", "1x1x1xNxN", "1x1xNx-9", "1x1xNx9.0", "nxn"}) {
    EXPECT_THROW(resolve(text, c, "--bias"), InputError) << text;
  }
}

TEST(Case, RefusesWhatMakesNoSense) {
  const auto refused = [](auto change) {
    auto c = small(6, 6);
    change(c);
    EXPECT_THROW(check(c), InputError) << describe(c);
  };
  refused([](AttentionCase& c) { c.B = 0; });
  refused([](AttentionCase& c) { c.D = -1; });
  refused([](AttentionCase& c) { c.Hq = 3; });
  refused([](AttentionCase& c) { c.segments = {3, 2}; });
  refused([](AttentionCase& c) { c.segments = {7, -1}; });
  refused([](AttentionCase& c) { c.segments = {6}, c.Nq = 5; });
  refused([](AttentionCase& c) { c.blocks = BlockSides{0, 8}; });
  EXPECT_NO_THROW(check(small(6, 6)));
}

TEST(Case, AGridIsTheProductOfItsLists) {
  AttentionGrid grid;
  grid.attention = small(6, 9);
  ASSERT_EQ(grid.cases().size(), 1u);
  EXPECT_EQ(grid.cases()[0].Nq, 6);
  grid.seq_lengths = {16, 32};
  grid.head_dims = {8, 64, 80};
  grid.batch_sizes = {1, 3};
  const auto cases = grid.cases();
  ASSERT_EQ(cases.size(), 12u);
  EXPECT_EQ(cases.back().Nq, 32);
  EXPECT_EQ(cases.back().Nk, 32);
  EXPECT_EQ(cases.back().D, 80);
  EXPECT_EQ(cases.back().Dv, 80);
  EXPECT_EQ(cases.back().B, 3);
  grid.value_dim = 40;
  EXPECT_EQ(grid.cases().back().Dv, 40);
}

} // namespace
} // namespace tessera::cases
