#include "plan/metal/cost.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/metal/planner.h"
#include "plan/metal/rules.h"

namespace tessera::metal {
namespace {

Plan plan_of(
    Pass pass, Dtype dtype, int D, Family family, bool causal = false) {
  Problem p;
  p.dtype = dtype;
  p.B = p.Hq = p.Hkv = 1;
  p.Nq = p.Nk = 4096;
  p.D = p.Dv = D;
  p.causal = causal;
  return std::get<Plan>(make_plan(p, pass, family));
}

TEST(MetalCost, MoreOfAnythingTakesLonger) {
  double Cost::*const parts[] = {
      &Cost::matrix_operations,
      &Cost::exponentials,
      &Cost::floats,
      &Cost::exchanges,
      &Cost::device_bytes,
      &Cost::threadgroup_bytes,
      &Cost::barriers};
  for (const Family family : families) {
    for (const auto& [plan, cost] : counted_plans()) {
      const auto before = predict(plan, cost, machine(family));
      for (const auto part : parts) {
        Cost more = cost;
        more.*part += 1;
        const auto after = predict(plan, more, machine(family));
        EXPECT_GT(after.cycles, before.cycles);
        EXPECT_LT(after.share, before.share);
      }
    }
  }
}

TEST(MetalCost, NoPipeIsFasterThanTheWhole) {
  for (const Family family : families) {
    for (const auto& [plan, cost] : counted_plans()) {
      const auto p = predict(plan, cost, machine(family));
      EXPECT_GE(p.cycles, std::max({p.arithmetic, p.special, p.memory}));
      EXPECT_LE(p.cycles, p.arithmetic + p.special + p.memory);
      EXPECT_GT(p.share, 0);
      EXPECT_LT(p.share, 1);
    }
  }
}

// A matrix operation alone, at the full rate, is the limit itself.
TEST(MetalCost, TheLimitIsAShareOfOne) {
  Plan plan;
  plan.dtype = Dtype::float16;
  plan.D = plan.Dv = 64;
  Cost cost;
  cost.matrix_operations = 16;
  const Machine full = {.matrix16 = 16, .matrix32 = 16, .overlap = 1};
  EXPECT_DOUBLE_EQ(predict(plan, cost, full).share, 1);
  plan.pass = Pass::dkv;
  cost.matrix_operations = 32;
  EXPECT_DOUBLE_EQ(predict(plan, cost, full).share, 1);
  // The padding of a head dimension is no use.
  plan.D = plan.Dv = 60;
  EXPECT_DOUBLE_EQ(predict(plan, cost, full).share, 60.0 / 64);
}

TEST(MetalCost, IsThereForThePlansOfUsualSizes) {
  for (const Family family : families) {
    for (const Pass pass : {Pass::forward, Pass::dq, Pass::dkv}) {
      for (const Dtype dtype :
           {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
        for (const int D : {64, 80, 96, 128, 192, 256}) {
          EXPECT_TRUE(predicted(plan_of(pass, dtype, D, family), family))
              << name(pass) << " D " << D << " on " << name(family)
              << ": src/plan/metal/cost_table.h is not of these plans; write "
                 "it again with `bench_metal table`";
        }
      }
    }
  }
}

TEST(MetalCost, CountsNoPlanTwice) {
  const auto all = counted_plans();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_FALSE(all[i].plan == all[j].plan) << i << " and " << j;
    }
  }
}

TEST(MetalCost, AMaskByPositionsChangesNothing) {
  const auto dense = plan_of(Pass::forward, Dtype::float16, 64, Family::m1);
  const auto causal =
      plan_of(Pass::forward, Dtype::float16, 64, Family::m1, true);
  ASSERT_FALSE(dense == causal);
  EXPECT_EQ(
      predicted(dense, Family::m1)->share,
      predicted(causal, Family::m1)->share);
}

TEST(MetalCost, IsAbsentForWhatWasNotCounted) {
  const auto plan = plan_of(Pass::forward, Dtype::float16, 64, Family::m1);
  auto features = plan;
  features.features.bias = true;
  EXPECT_FALSE(predicted(features, Family::m1));
  auto blocks = plan;
  blocks.columns = 8;
  EXPECT_FALSE(predicted(blocks, Family::m1));
  auto few = plan;
  few.packed = true;
  EXPECT_FALSE(predicted(few, Family::m1));
}

} // namespace
} // namespace tessera::metal
