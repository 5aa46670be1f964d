#include "plan/metal/planner.h"

#include <gtest/gtest.h>

#include <variant>

#include "backend/metal/call.h"
#include "plan/metal/rules.h"

namespace tessera::metal {
namespace {

Problem problem_of(int N, int D, Dtype dtype, int Dv = 0) {
  Problem p;
  p.dtype = dtype;
  p.B = 2;
  p.Hq = 8;
  p.Hkv = 2;
  p.Nq = p.Nk = N;
  p.D = D;
  p.Dv = Dv == 0 ? D : Dv;
  return p;
}

constexpr Pass passes[] = {
    Pass::forward,
    Pass::combine,
    Pass::delta,
    Pass::dq,
    Pass::dkv,
    Pass::dbias,
    Pass::dslopes,
    Pass::dsinks};

Plan plan_of(const Problem& problem, Pass pass, Family family = Family::m1) {
  return std::get<Plan>(make_plan(problem, pass, family));
}

std::string refusal_of(const Plan& plan) {
  const auto refusal = why_not(plan, Family::m1);
  return refusal ? refusal->reason : "";
}

TEST(MetalPlanner, HasALegalPlanForEveryHeadDimension) {
  for (const auto dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    for (const int N : {1, 16, 17, 4096}) {
      for (int D = 1; D <= 512; D += 7) {
        for (const int Dv : {D, 1, 64, 512}) {
          for (const auto family : families) {
            for (const auto pass : passes) {
              const auto planned =
                  make_plan(problem_of(N, D, dtype, Dv), pass, family);
              ASSERT_TRUE(std::holds_alternative<Plan>(planned))
                  << name(pass) << " D " << D << " Dv " << Dv << ": "
                  << std::get<Refusal>(planned).reason;
              EXPECT_FALSE(why_not(std::get<Plan>(planned), family));
            }
          }
        }
      }
    }
  }
}

struct Feature {
  const char* name;
  void (*add)(Problem&);
};

constexpr Feature all_features[] = {
    {"causal",
     [](Problem& p) {
       p.causal = true;
     }},
    {"window",
     [](Problem& p) {
       p.left = p.right = 5;
     }},
    {"prefix",
     [](Problem& p) {
       p.causal = p.features.prefix = true;
     }},
    {"chunk",
     [](Problem& p) {
       p.causal = true;
       p.chunk = 16;
     }},
    {"segments",
     [](Problem& p) {
       p.features.segments = true;
     }},
    {"mask",
     [](Problem& p) {
       p.features.mask = true;
     }},
    {"blocks",
     [](Problem& p) {
       p.block_rows = p.block_columns = 16;
     }},
    {"bias",
     [](Problem& p) {
       p.features.bias = true;
     }},
    {"alibi",
     [](Problem& p) {
       p.features.alibi = true;
     }},
    {"softcap",
     [](Problem& p) {
       p.features.softcap = true;
     }},
    {"sinks",
     [](Problem& p) {
       p.features.sinks = true;
     }},
    {"dropout", [](Problem& p) {
       p.features.dropout = true;
     }}};

// Of a feature alone, beside the bias in its gradient; many at once may claim
// more than there are registers, and have a plan all the same.
TEST(MetalPlanner, HasALegalPlanForEveryFeature) {
  for (const auto dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    for (const int N : {4, 17, 4096}) {
      for (int D = 8; D <= 256; D += 8) {
        for (const auto& feature : all_features) {
          for (const auto pass : passes) {
            Problem problem = problem_of(N, D, dtype);
            problem.features.bias = pass == Pass::dbias;
            feature.add(problem);
            for (const auto family : families) {
              const auto refusal =
                  why_not(plan_of(problem, pass, family), family);
              EXPECT_FALSE(refusal) << name(pass) << " D " << D << ' '
                                    << feature.name << ": " << refusal->reason;
            }
          }
        }
      }
    }
  }
}

// A text is compiled for a plan: lengths, batch and heads are not in it.
TEST(MetalPlanner, LooksAtLengthsOnlyForFewOrShortQueries) {
  const auto problem = problem_of(100, 64, Dtype::float16);
  auto longer = problem_of(5000, 64, Dtype::float16);
  longer.B = 1;
  longer.Hq = 2;
  auto few = problem;
  few.Nq = few_queries;
  for (const auto pass : passes) {
    EXPECT_EQ(plan_of(problem, pass), plan_of(longer, pass)) << name(pass);
  }
  EXPECT_FALSE(plan_of(problem, Pass::forward).packed);
  EXPECT_TRUE(plan_of(few, Pass::forward).packed);
  EXPECT_FALSE(plan_of(few, Pass::dq).packed);
  auto brief = problem;
  brief.Nq = short_queries;
  EXPECT_EQ(plan_of(problem, Pass::forward).rows_of_threadgroup(), 64);
  EXPECT_EQ(plan_of(brief, Pass::forward).rows_of_threadgroup(), 32);
  EXPECT_EQ(plan_of(brief, Pass::dq), plan_of(problem, Pass::dq));
}

// Few queries take their keys in runs where one run would leave the GPU idle.
TEST(MetalPlanner, TakesRunsOfManyKeysOnly) {
  Call call;
  call.problem = problem_of(12, 64, Dtype::float16);
  const auto runs = [&](int Nk, int B) {
    call.problem.Nk = Nk;
    call.problem.B = B;
    EXPECT_EQ(
        std::get<Plan>(plan_for(call, Pass::forward)).runs, takes_runs(call));
    return takes_runs(call);
  };
  EXPECT_FALSE(runs(256, 1));
  EXPECT_TRUE(runs(257, 1));
  EXPECT_FALSE(runs(1000, 64)); // as many threadgroups as the runs would be
}

// What is added up leaves the registers only where it does not fit.
TEST(MetalPlanner, SpillsWhereRegistersDoNotReach) {
  const auto home = [](Pass pass, int D) {
    return plan_of(problem_of(1000, D, Dtype::bfloat16), pass).sums;
  };
  EXPECT_EQ(home(Pass::forward, 256), Home::registers);
  EXPECT_EQ(home(Pass::forward, 512), Home::threadgroup);
  EXPECT_EQ(home(Pass::dq, 256), Home::registers);
  EXPECT_EQ(home(Pass::dq, 512), Home::threadgroup);
  EXPECT_EQ(home(Pass::dkv, 128), Home::registers);
  EXPECT_EQ(home(Pass::dkv, 256), Home::device);
}

// What a boolean mask hides only the simdgroup concerned knows of.
TEST(MetalPlanner, StagesNothingUnderAMask) {
  auto problem = problem_of(1000, 64, Dtype::bfloat16);
  EXPECT_EQ(plan_of(problem, Pass::forward).staging, Staging::whole);
  problem.features.mask = true;
  for (const auto pass : {Pass::forward, Pass::dq, Pass::dkv}) {
    EXPECT_EQ(plan_of(problem, pass).staging, Staging::direct) << name(pass);
  }
}

TEST(MetalPlanner, TakesABlockSizeOrSaysWhyNot) {
  const auto problem = problem_of(1000, 64, Dtype::bfloat16);
  const auto plan =
      std::get<Plan>(make_plan(problem, Pass::forward, Family::m1, 32));
  EXPECT_EQ(plan.rows_of_threadgroup(), 32);
  EXPECT_EQ(plan.columns, 32);
  const auto reason = [&](int size) {
    const auto planned = make_plan(problem, Pass::forward, Family::m1, size);
    return std::get<Refusal>(planned).reason;
  };
  EXPECT_EQ(
      reason(20),
      "expected columns of a tile that are a positive multiple of 8, the side "
      "of a simdgroup_matrix, and at most 128; got 20");
  EXPECT_EQ(
      reason(256),
      "expected columns of a tile that are a positive multiple of 8, the side "
      "of a simdgroup_matrix, and at most 128; got 256");
}

TEST(MetalRules, RefuseWhatDoesNotFit) {
  const auto good =
      plan_of(problem_of(1000, 64, Dtype::float32), Pass::forward);
  EXPECT_EQ(refusal_of(good), "");
  auto plan = good;
  plan.rows = 12;
  EXPECT_EQ(
      refusal_of(plan),
      "expected rows of a simdgroup that are a positive multiple of 8, the "
      "side of a simdgroup_matrix, and at most 32; got 12");
  plan = good;
  plan.simdgroups = 33;
  EXPECT_EQ(refusal_of(plan), "expected at most 1024 threads on m1; got 1056");
  plan = good;
  plan.columns = 64;
  EXPECT_EQ(
      refusal_of(plan),
      "expected at most 32768 bytes of threadgroup memory on m1; got 34816");
  plan = plan_of(problem_of(1000, 256, Dtype::float32), Pass::forward);
  plan.hold_own = true;
  EXPECT_EQ(
      refusal_of(plan),
      "expected at most 128 registers a thread on m1; got 176");
  plan = good;
  plan.head_block = 48;
  EXPECT_EQ(
      refusal_of(plan),
      "expected a head block that is a multiple of 8 and divides 64; got 48");
  plan = plan_of(problem_of(1000, 64, Dtype::float16), Pass::dq);
  plan.staging = Staging::pieces;
  EXPECT_EQ(
      refusal_of(plan),
      "expected pieces of operands in forward alone; got them in dq");
}

} // namespace
} // namespace tessera::metal
