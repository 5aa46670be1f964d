#include "plan/planner.h"

#include <gtest/gtest.h>

#include <unordered_set>

#include "plan/rules.h"
#include "plan/workspace.h"

namespace tessera {
namespace {

Problem problem_of(Pass pass, int N, int D, int Dv) {
  Problem problem;
  problem.pass = pass;
  problem.B = 1;
  problem.Hq = problem.Hkv = 2;
  problem.Nq = problem.Nk = N;
  problem.D = D;
  problem.Dv = Dv;
  return problem;
}

constexpr Pass passes[] = {Pass::forward, Pass::backward, Pass::dbias};
constexpr Isa isas[] = {
    Isa::portable,
    Isa::neon,
    Isa::avx2,
    Isa::avx512,
    Isa::avx512_bf16,
    Isa::amx};

std::string reason_of(const Planned& planned) {
  const auto* refusal = std::get_if<Refusal>(&planned);
  return refusal == nullptr ? "" : refusal->reason;
}

// The matrix unit multiplies bfloat16 alone, and rests where queries are few.
TEST(Planner, AmxTakesBlocksOfBfloat16Alone) {
  const Device device{Isa::amx, 4};
  for (const Pass pass : passes) {
    for (const int N : {1, 17, 1000}) {
      for (const Dtype dtype :
           {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
        auto problem = problem_of(pass, N, 64, 64);
        problem.dtype = dtype;
        const auto plan = std::get<Plan>(make_plan(problem, device));
        const bool blocks = pass != Pass::forward || N > 16;
        EXPECT_EQ(
            plan.isa,
            dtype == Dtype::bfloat16 && blocks ? Isa::amx : Isa::avx512);
      }
    }
  }
  auto problem = problem_of(Pass::forward, 1000, 64, 64);
  const Plan plan{Pass::forward, Isa::amx, 64, 32, 1};
  problem.dtype = Dtype::bfloat16;
  EXPECT_EQ(why_not(problem, plan, device), std::nullopt);
  problem.dtype = Dtype::float32;
  EXPECT_EQ(
      why_not(problem, plan, device)->reason,
      "expected bfloat16 on amx; got another dtype");
}

TEST(Planner, EveryPlanIsLegal) {
  for (const Pass pass : passes) {
    for (const Isa isa : isas) {
      for (const int D : {1, 8, 40, 64, 72, 128, 256, 512}) {
        for (const int Dv : {1, 64, 512}) {
          const auto problem = problem_of(pass, 1000, D, Dv);
          const Device device{isa, 4};
          const auto planned = make_plan(problem, device);
          ASSERT_EQ(reason_of(planned), "");
          const auto& plan = std::get<Plan>(planned);
          EXPECT_EQ(why_not(problem, plan, device), std::nullopt);
          EXPECT_LE(workspace(problem, plan).bytes(), thread_budget);
        }
      }
    }
  }
}

TEST(Planner, BlockSizeSetsBothSides) {
  const auto problem = problem_of(Pass::backward, 1000, 64, 64);
  const auto plan = std::get<Plan>(make_plan(problem, {Isa::avx512, 4}, 64));
  EXPECT_EQ(plan.rows, 64);
  EXPECT_EQ(plan.columns, 64);
}

TEST(Planner, RefusesABlockThatTheVectorsDoNotFill) {
  const auto problem = problem_of(Pass::forward, 1000, 64, 64);
  EXPECT_EQ(
      reason_of(make_plan(problem, {Isa::avx512, 4}, 40)),
      "expected a block of rows that is a positive multiple of 16, the vector "
      "length of avx512; got 40");
  EXPECT_EQ(reason_of(make_plan(problem, {Isa::avx2, 4}, 40)), "");
  EXPECT_NE(reason_of(make_plan(problem, {Isa::avx2, 4}, -8)), "");
}

TEST(Planner, RefusesABlockBeyondTheBudget) {
  const auto problem = problem_of(Pass::forward, 1000, 512, 512);
  EXPECT_EQ(reason_of(make_plan(problem, {Isa::avx512, 4}, 240)), "");
  const auto reason = reason_of(make_plan(problem, {Isa::avx512, 4}, 1024));
  EXPECT_NE(
      reason.find("expected tiles within 4096 KiB a thread; got "),
      std::string::npos)
      << reason;
  EXPECT_NE(
      reason_of(make_plan(problem, {Isa::avx512, 4}, 1 << 30)).find("far more"),
      std::string::npos);
}

TEST(Planner, RefusesAHeadDimensionThatNoTileFits) {
  const auto problem = problem_of(Pass::forward, 1000, 1 << 20, 64);
  EXPECT_NE(
      reason_of(make_plan(problem, {Isa::avx512, 4})).find("expected tiles"),
      std::string::npos);
}

TEST(Planner, TakesOneThreadForLittleWork) {
  const Device device{Isa::avx512, 8};
  const auto threads = [&](int N) {
    return std::get<Plan>(
               make_plan(problem_of(Pass::forward, N, 64, 64), device))
        .threads;
  };
  EXPECT_EQ(threads(1), 1);
  EXPECT_EQ(threads(64), 1);
  EXPECT_EQ(threads(2048), 8);
}

// Bits depend on the blocks, and must not depend on the threads.
TEST(Planner, ThreadsChangeNoBlock) {
  for (const Pass pass : passes) {
    for (const int N : {7, 300, 2048, 100'000}) {
      const auto blocks = [&](int threads) {
        const auto plan = std::get<Plan>(
            make_plan(problem_of(pass, N, 64, 64), {Isa::avx512, threads}));
        return Blocks{plan.rows, plan.columns};
      };
      EXPECT_EQ(blocks(1), blocks(2));
      EXPECT_EQ(blocks(1), blocks(64));
    }
  }
}

TEST(Planner, LongerSequencesTakeLargerBlocks) {
  const auto rows = [](int N) {
    return std::get<Plan>(
               make_plan(problem_of(Pass::forward, N, 64, 64), {Isa::avx512}))
        .rows;
  };
  EXPECT_LT(rows(256), rows(2048));
  EXPECT_LT(rows(2048), rows(65536));
}

TEST(Planner, CandidatesBeginWithItsChoiceAndAreLegal) {
  for (const Pass pass : passes) {
    for (const Isa isa : isas) {
      const auto problem = problem_of(pass, 1000, 512, 64);
      const Device device{isa, 2};
      const auto all = candidates(problem, device);
      const auto plan = std::get<Plan>(make_plan(problem, device));
      EXPECT_EQ(all.front(), (Blocks{plan.rows, plan.columns}));
      EXPECT_GE(all.size(), 3u);
      for (const Blocks blocks : all) {
        EXPECT_EQ(reason_of(make_plan(problem, device, blocks)), "");
      }
    }
  }
}

// Whatever blocks a table has for them; but not where the user asks for blocks.
TEST(Planner, FewQueriesAreSplitWithAnyBlocks) {
  const Device device{Isa::avx512, 4};
  for (const int Nq : {1, 16, 17}) {
    auto problem = problem_of(Pass::forward, 5000, 64, 64);
    problem.Nq = Nq;
    const auto planned = std::get<Plan>(make_plan(problem, device));
    const auto tuned =
        std::get<Plan>(make_plan(problem, device, Blocks{96, 48}));
    EXPECT_EQ(tuned.split > 0, Nq <= 16);
    EXPECT_EQ(tuned.split, planned.split);
    EXPECT_EQ(tuned.threads, planned.threads);
    EXPECT_EQ(std::get<Plan>(make_plan(problem, device, 96)).split, 0);
    EXPECT_EQ(candidates(problem, device).size() == 1, Nq <= 16);
    problem.pass = Pass::backward;
    EXPECT_EQ(std::get<Plan>(make_plan(problem, device)).split, 0);
  }
}

TEST(Rules, APlanIsForItsPassAndMachine) {
  const auto problem = problem_of(Pass::forward, 100, 64, 64);
  const auto plan = std::get<Plan>(make_plan(problem, {Isa::avx512, 4}));
  EXPECT_TRUE(why_not(problem, plan, {Isa::avx2, 4}).has_value());
  EXPECT_TRUE(
      why_not(problem_of(Pass::backward, 100, 64, 64), plan, {Isa::avx512, 4})
          .has_value());
  Plan none = plan;
  none.threads = 0;
  EXPECT_TRUE(why_not(problem, none, {Isa::avx512, 4}).has_value());
}

TEST(Plan, IsAKey) {
  const Plan plan{Pass::forward, Isa::avx2, 96, 48, 2};
  std::unordered_set<Plan> seen = {plan};
  EXPECT_EQ(seen.count(plan), 1u);
  for (const Plan& other :
       {Plan{Pass::backward, Isa::avx2, 96, 48, 2},
        Plan{Pass::forward, Isa::avx512, 96, 48, 2},
        Plan{Pass::forward, Isa::avx2, 48, 96, 2},
        Plan{Pass::forward, Isa::avx2, 96, 48, 1}}) {
    EXPECT_FALSE(other == plan);
    EXPECT_NE(std::hash<Plan>{}(other), std::hash<Plan>{}(plan));
  }
}

TEST(Workspace, BuffersFollowEachOtherAligned) {
  for (const Pass pass : passes) {
    const auto problem = problem_of(pass, 1000, 72, 40);
    const auto plan = std::get<Plan>(make_plan(problem, {Isa::avx512, 1}));
    const auto w = workspace(problem, plan);
    const std::size_t starts[] = {
        w.Q_lanes,    w.dO_lanes, w.Q_features, w.dO_features, w.K_rows,
        w.V_features, w.V_rows,   w.S,          w.dP,          w.added,
        w.capped,     w.kept,     w.key_pairs,  w.P_pairs,     w.dS_pairs,
        w.O,          w.dQ,       w.dK,         w.dV,          w.dbias,
        w.statistics, w.words};
    for (std::size_t i = 0; i + 1 < std::size(starts); ++i) {
      EXPECT_LE(starts[i], starts[i + 1]);
      EXPECT_EQ(starts[i] % 16, 0u);
    }
  }
}

} // namespace
} // namespace tessera
