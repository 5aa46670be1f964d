#include "plan/mask.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace tessera {

void PrintTo(const Mask& mask, std::ostream* out) {
  const auto side = [](int keys) {
    return keys == unbounded ? std::string("-") : std::to_string(keys);
  };
  *out << mask.Nq << " queries, " << mask.Nk << " keys"
       << (mask.causal ? ", causal" : "") << ", window " << side(mask.left)
       << ":" << side(mask.right) << ", chunk " << mask.chunk << ", prefix "
       << mask.prefix;
}

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

// A side of the window alone, both, and only the query's own key.
TEST(Mask, Window) {
  const auto window = [](int left, int right) {
    return draw({.Nq = 5, .Nk = 5, .left = left, .right = right});
  };
  EXPECT_EQ(
      window(2, unbounded),
      (Picture{
          "#####", //
          "#####",
          "#####",
          ".####",
          "..###"}));
  EXPECT_EQ(
      window(unbounded, 1),
      (Picture{
          "##...", //
          "###..",
          "####.",
          "#####",
          "#####"}));
  EXPECT_EQ(
      window(2, 1),
      (Picture{
          "##...", //
          "###..",
          "####.",
          ".####",
          "..###"}));
  EXPECT_EQ(
      window(0, 0),
      (Picture{
          "#....", //
          ".#...",
          "..#..",
          "...#.",
          "....#"}));
}

TEST(Mask, WindowIsLowerRightAligned) {
  EXPECT_EQ(
      draw({.Nq = 3, .Nk = 6, .left = 2, .right = 1}),
      (Picture{
          ".####.", //
          "..####",
          "...###"}));
  EXPECT_EQ(
      draw({.Nq = 6, .Nk = 3, .left = 1, .right = 1}),
      (Picture{
          "...", // i' = -3
          "...",
          "#..",
          "##.",
          "###",
          ".##"}));
}

// Hugging Face's sliding_window of 3.
TEST(Mask, CausalWindow) {
  EXPECT_EQ(
      draw({.Nq = 5, .Nk = 5, .causal = true, .left = 2}),
      (Picture{
          "#....", //
          "##...",
          "###..",
          ".###.",
          "..###"}));
  // Beyond the query's own key causal is the narrower.
  EXPECT_EQ(
      draw({.Nq = 5, .Nk = 5, .causal = true, .left = 2, .right = 3}),
      draw({.Nq = 5, .Nk = 5, .causal = true, .left = 2}));
}

TEST(Mask, Prefix) {
  EXPECT_EQ(
      draw({.Nq = 5, .Nk = 5, .causal = true, .prefix = 3}),
      (Picture{
          "###..", //
          "###..",
          "###..",
          "####.",
          "#####"}));
  EXPECT_EQ(
      draw({.Nq = 5, .Nk = 3, .causal = true, .prefix = 1}),
      (Picture{
          "#..", //
          "#..",
          "#..",
          "##.",
          "###"}));
  EXPECT_EQ(
      draw({.Nq = 2, .Nk = 5, .causal = true, .prefix = 9}),
      (Picture{"#####", "#####"}));
}

TEST(Mask, Chunk) {
  EXPECT_EQ(
      draw({.Nq = 7, .Nk = 7, .causal = true, .chunk = 3}),
      (Picture{
          "#......", //
          "##.....",
          "###....",
          "...#...",
          "...##..",
          "...###.",
          "......#"}));
  EXPECT_EQ(
      draw({.Nq = 3, .Nk = 7, .causal = true, .chunk = 3}),
      (Picture{
          "...##..", //
          "...###.",
          "......#"}));
}

// i' = -3, -2 and -1 are of the chunk before the first key, not of its own.
TEST(Mask, ChunksFloorWhereAPositionIsNegative) {
  EXPECT_EQ(
      draw({.Nq = 6, .Nk = 3, .causal = true, .chunk = 4, .prefix = 3}),
      (Picture{
          "...", //
          "...",
          "...",
          "###",
          "###",
          "###"}));
}

TEST(Mask, PrefixStaysWithinWindowAndChunk) {
  EXPECT_EQ(
      draw(
          {.Nq = 6,
           .Nk = 6,
           .causal = true,
           .left = 2,
           .right = 1,
           .prefix = 4}),
      (Picture{
          "##....", //
          "###...",
          "####..",
          ".###..",
          "..###.",
          "...###"}));
  EXPECT_EQ(
      draw({.Nq = 6, .Nk = 6, .causal = true, .chunk = 3, .prefix = 2}),
      (Picture{
          "##....", //
          "##....",
          "###...",
          "...#..",
          "...##.",
          "...###"}));
}

TEST(Mask, WindowWithinChunk) {
  EXPECT_EQ(
      draw({.Nq = 6, .Nk = 6, .causal = true, .left = 1, .chunk = 3}),
      (Picture{
          "#.....", //
          "##....",
          ".##...",
          "...#..",
          "...##.",
          "....##"}));
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

// Each feature off, narrow and wide, with each other one, at equal and unequal
// lengths.
std::vector<Mask> masks() {
  std::vector<Mask> all;
  const std::array<std::array<int, 2>, 5> lengths = {
      {{6, 6}, {5, 9}, {9, 5}, {1, 8}, {8, 1}}};
  for (const auto [Nq, Nk] : lengths) {
    for (const int left : {int{unbounded}, 0, 2}) {
      for (const int right : {int{unbounded}, 0, 1}) {
        all.push_back({Nq, Nk, false, left, right});
        for (const int chunk : {0, 1, 4}) {
          for (const int prefix : {0, 3, 20}) {
            all.push_back({Nq, Nk, true, left, right, chunk, prefix});
          }
        }
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, MaskBlocks, testing::ValuesIn(masks()));

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
