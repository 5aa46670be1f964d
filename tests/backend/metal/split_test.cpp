#include "backend/metal/split.h"

#include <gtest/gtest.h>

#include "plan/metal/planner.h"

namespace tessera::metal {
namespace {

Work work_of_size(int batches, int heads, int blocks) {
  Work work;
  work.batches = batches;
  work.heads = heads;
  work.blocks = blocks;
  work.along = 4096;
  work.unit = 32;
  work.flops = 64.0 * 2 * 4096 * 256;
  work.simdgroups = 8;
  return work;
}

// Whether spans follow each other from 0 to `length`.
void expect_whole(const std::vector<Span>& spans, int length) {
  int at = 0;
  for (const Span span : spans) {
    EXPECT_EQ(span.lo, at);
    at = span.hi;
  }
  EXPECT_EQ(at, length);
}

TEST(MetalCut, LeavesNothingOutAndKeepsToItsTime) {
  for (const int batches : {1, 3}) {
    for (const int heads : {1, 8, 32}) {
      for (const int blocks : {1, 7, 512}) {
        for (const double seconds : {1.0, 1e-2, 1e-4}) {
          auto work = work_of_size(batches, heads, blocks);
          work.group = 4;
          const Cut pieces = cut(work, Family::m1, seconds);
          expect_whole(pieces.batches, batches);
          expect_whole(pieces.heads, heads);
          expect_whole(pieces.blocks, blocks);
          const double threadgroups = 1.0 * pieces.batches[0].size() *
              pieces.heads[0].size() * pieces.blocks[0].size();
          const double time = estimated_seconds(work, threadgroups, Family::m1);
          EXPECT_LE(
              time / static_cast<double>(pieces.parts.size()), 1.01 * seconds);
          EXPECT_TRUE(pieces.parts.front().part.begins);
          EXPECT_TRUE(pieces.parts.back().part.ends);
        }
      }
    }
  }
}

// 2 x 136 MB at two fifths of 68 GB/s are 10 ms.
TEST(MetalCut, CountsTheBytesOfDelta) {
  Problem p;
  p.B = 1;
  p.Hq = p.Hkv = 2;
  p.Nq = p.Nk = 1 << 18;
  p.D = p.Dv = 128;
  p.dtype = Dtype::bfloat16;
  const auto planned = make_plan(p, Pass::delta, Family::m1);
  const auto& plan = std::get<Plan>(planned);
  const auto work = work_of(p, plan);
  EXPECT_EQ(plan.rows_of_threadgroup(), 4);
  EXPECT_NEAR(
      estimated_seconds(work, 2.0 * work.blocks, Family::m1), 0.010, 0.0003);
  const Cut pieces = cut(work, Family::m1, 5.1e-3);
  EXPECT_EQ(pieces.heads.size(), 2u);
  EXPECT_EQ(pieces.blocks.size(), 1u);
  EXPECT_EQ(cut(work, Family::m1, 2.6e-3).blocks.size(), 2u);
}

// A bias of one row keeps a GPU busy with one block of many simdgroups.
TEST(MetalCut, EndsWhereOneBlockFillsTheGpu) {
  auto work = work_of_size(1, 1, 1);
  work.simdgroups = 128;
  work.flops = 1e12;
  const Cut pieces = cut(work, Family::m1, 5e-3);
  EXPECT_EQ(pieces.blocks.size(), 1u);
  EXPECT_GT(pieces.parts.size(), 1u);
}

// A loop is cut between whole tiles, and between heads before within them.
TEST(MetalCut, CutsALoopBetweenTiles) {
  auto work = work_of_size(1, 1, 1);
  work.group = 2;
  const auto parts = [&](double share) {
    const double whole = estimated_seconds(work, 1, Family::m1);
    return cut(work, Family::m1, whole / share).parts;
  };
  EXPECT_EQ(parts(0.9).size(), 1u);
  const auto two = parts(1.9);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].group, (Span{0, 1}));
  EXPECT_EQ(two[1].range, (Span{0, 4096}));
  for (const auto& [group, range, part] : parts(7.5)) {
    EXPECT_EQ(group.size(), 1);
    EXPECT_EQ(range.lo % 32, 0);
  }
}

} // namespace
} // namespace tessera::metal
