#include <gtest/gtest.h>

#include <algorithm>

#include "plan/metal/planner.h"
#include "plan/metal/rules.h"

namespace tessera::metal {
namespace {

Problem problem_of(int D, tessera::Pass pass = tessera::Pass::forward) {
  Problem p;
  p.pass = pass;
  p.dtype = Dtype::bfloat16;
  p.B = 1;
  p.Hq = p.Hkv = 8;
  p.Nq = p.Nk = 1024;
  p.D = p.Dv = D;
  return p;
}

Plan plan_with(const Problem& p, Pass pass, Family family, const Tiles& tiles) {
  return std::get<Plan>(tuned_plan(p, pass, family, tiles));
}

Blocks blocks_of(const Plan& plan) {
  return {plan.rows_of_threadgroup(), plan.columns};
}

TEST(Candidates, AreLegalPlansThePlannersFirst) {
  for (const Family family : families) {
    for (const int D : {40, 64, 128, 256, 512}) {
      const auto p = problem_of(D);
      const auto own = std::get<Plan>(make_plan(p, Pass::forward, family));
      const auto all = candidates(p, family);
      ASSERT_FALSE(all.empty());
      EXPECT_EQ(all[0], blocks_of(own));
      EXPECT_EQ(plan_with(p, Pass::forward, family, {all[0], {}}), own);
      for (std::size_t i = 0; i < all.size(); ++i) {
        const auto plan = plan_with(p, Pass::forward, family, {all[i], {}});
        EXPECT_EQ(blocks_of(plan), all[i]);
        EXPECT_EQ(why_not(plan, family), std::nullopt);
        EXPECT_EQ(std::count(all.begin(), all.end(), all[i]), 1);
      }
    }
  }
  EXPECT_GT(candidates(problem_of(64), Family::m1).size(), 3u);
}

TEST(Candidates, OfTheBackwardPassServeBothItsKernels) {
  const auto p = problem_of(64, tessera::Pass::backward);
  const auto all = candidates(p, Family::m1);
  ASSERT_GT(all.size(), 1u);
  for (const Pass pass : {Pass::dq, Pass::dkv}) {
    EXPECT_EQ(
        plan_with(p, pass, Family::m1, {{}, all[0]}),
        std::get<Plan>(make_plan(p, pass, Family::m1)));
    for (const auto blocks : all) {
      EXPECT_EQ(
          why_not(plan_with(p, pass, Family::m1, {{}, blocks}), Family::m1),
          std::nullopt);
    }
  }
  EXPECT_EQ(
      blocks_of(plan_with(p, Pass::dq, Family::m1, {{}, all[1]})), all[1]);
}

// A table of other kernels, or one that was changed by hand.
TEST(TunedPlan, IsThePlannersWhereTheTilesDoNotFit) {
  const auto p = problem_of(128);
  for (const Blocks blocks : {Blocks{100, 7}, {8, 4096}, {1 << 20, 32}}) {
    for (const Pass pass : {Pass::forward, Pass::dq, Pass::dkv, Pass::delta}) {
      EXPECT_EQ(
          plan_with(p, pass, Family::m2, {blocks, blocks}),
          std::get<Plan>(make_plan(p, pass, Family::m2)));
    }
  }
}

} // namespace
} // namespace tessera::metal
