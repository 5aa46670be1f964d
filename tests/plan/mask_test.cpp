#include "plan/mask.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tessera {
namespace {

using Picture = std::vector<std::string>;

// A line a query, a column a key: '#' where the query sees the key.
Picture draw(const Mask& mask) {
  Picture lines;
  for (int row = 0; row < mask.Nq; ++row) {
    std::string line(static_cast<std::size_t>(mask.Nk), '.');
    const Span span = mask.span(row);
    for (int key = span.lo; key < span.hi; ++key) {
      line[static_cast<std::size_t>(key)] = '#';
    }
    lines.push_back(line);
  }
  return lines;
}

TEST(Mask, Dense) {
  EXPECT_EQ(draw({2, 3, false}), (Picture{"###", "###"}));
}

TEST(Mask, CausalSquare) {
  EXPECT_EQ(
      draw({4, 4, true}),
      (Picture{
          "#...", //
          "##..",
          "###.",
          "####"}));
}

TEST(Mask, CausalWithMoreKeysIsLowerRightAligned) {
  EXPECT_EQ(
      draw({3, 5, true}),
      (Picture{
          "###..", //
          "####.",
          "#####"}));
}

TEST(Mask, CausalWithMoreQueriesLeavesTheFirstWithoutKeys) {
  EXPECT_EQ(
      draw({5, 3, true}),
      (Picture{
          "...", //
          "...",
          "#..",
          "##.",
          "###"}));
}

TEST(Mask, WithoutKeysOrQueries) {
  EXPECT_EQ(draw({2, 0, true}), (Picture{"", ""}));
  EXPECT_EQ(draw({0, 2, true}), Picture{});
}

// What a loop may conclude of a block, element by element.
class MaskBlocks : public testing::TestWithParam<Mask> {
 protected:
  bool seen(int row, int key) const {
    const Span span = GetParam().span(row);
    return span.lo <= key && key < span.hi;
  }
};

TEST_P(MaskBlocks, RowsAgreeWithTheirElements) {
  const Mask mask = GetParam();
  for (int lo = 0; lo < mask.Nq; ++lo) {
    for (int hi = lo + 1; hi <= mask.Nq; ++hi) {
      const Span any = mask.seen_by_any({lo, hi});
      const Span all = mask.seen_by_all({lo, hi});
      for (int key = 0; key < mask.Nk; ++key) {
        bool some = false;
        bool every = true;
        for (int row = lo; row < hi; ++row) {
          some = some || seen(row, key);
          every = every && seen(row, key);
        }
        EXPECT_EQ(any.lo <= key && key < any.hi, some) << lo << hi << key;
        EXPECT_EQ(all.lo <= key && key < all.hi, every) << lo << hi << key;
      }
    }
  }
}

TEST_P(MaskBlocks, ColumnsAgreeWithTheirElements) {
  const Mask mask = GetParam();
  for (int lo = 0; lo < mask.Nk; ++lo) {
    for (int hi = lo + 1; hi <= mask.Nk; ++hi) {
      const Span any = mask.sees_any({lo, hi});
      const Span all = mask.sees_all({lo, hi});
      for (int row = 0; row < mask.Nq; ++row) {
        bool some = false;
        bool every = true;
        for (int key = lo; key < hi; ++key) {
          some = some || seen(row, key);
          every = every && seen(row, key);
        }
        EXPECT_EQ(any.lo <= row && row < any.hi, some) << lo << hi << row;
        EXPECT_EQ(all.lo <= row && row < all.hi, every) << lo << hi << row;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All,
    MaskBlocks,
    testing::Values(
        Mask{5, 7, false},
        Mask{6, 6, true},
        Mask{5, 9, true},
        Mask{9, 5, true},
        Mask{1, 8, true},
        Mask{8, 1, true}));

TEST(Span, IntersectionIsNeverNegative) {
  EXPECT_EQ(intersect({2, 6}, {4, 9}), (Span{4, 6}));
  EXPECT_TRUE(intersect({2, 3}, {7, 9}).empty());
  EXPECT_EQ(intersect({2, 3}, {7, 9}).size(), 0);
  EXPECT_TRUE((Span{1, 4}).contains({2, 4}));
  EXPECT_TRUE((Span{1, 4}).contains({9, 9}));
  EXPECT_FALSE((Span{1, 4}).contains({3, 5}));
}

} // namespace
} // namespace tessera
