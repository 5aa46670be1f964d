#include <gtest/gtest.h>

#include <algorithm>

#include "api/metal/harness.h"
#include "api/metal/proof.h"
#include "api/node/cpu_call.h"
#include "api/tuning.h"
#include "bench/tune/explain.h"
#include "bench/tune/pass.h"
#include "check/case.h"

// The saved table on a GPU.
namespace tessera::test {
namespace {

class Tuned : public testing::Test {
 protected:
  Tuned() {
    attention.causal = true;
    attention.B = 1;
    attention.Hq = attention.Hkv = 2;
    attention.Nq = attention.Nk = 60;
    attention.D = attention.Dv = 32;
    attention.implementation = Implementation::automatic;
  }

  TableKey key(Pass pass) const {
    return key_of(cases::problem_of(attention, pass), machine_of(backend));
  }
  // Planned differently for both passes.
  Table other_tiles() const {
    return {
        {key(Pass::forward), {32, 8, false}},
        {key(Pass::backward), {32, 16, false}}};
  }

  AttentionCase attention;
  std::shared_ptr<ExecutorLauncher> launcher =
      std::make_shared<ExecutorLauncher>();
  MetalBackend backend = {
      metal::Family::m2,
      launcher,
      metal::launch_seconds,
      std::make_shared<Proofs>(),
      "Apple M2"};
};

TEST_F(Tuned, TilesAreProvenAndTaken) {
  const TableScope table(other_tiles());
  const MetalOnCpu scope(backend);
  Case c;
  c.problem = cases::problem_of(attention, Pass::forward);
  const auto in = random_inputs(c);
  EXPECT_EQ(
      difference(expect(c.problem, c.scalars(), in), through_the_op(c, in)),
      "");
  for (const auto& [plan, counts] : launcher->executed) {
    if (plan.pass == metal::Pass::forward) {
      EXPECT_EQ(plan.rows_of_threadgroup(), 32);
      EXPECT_EQ(plan.columns, 8);
    }
    if (plan.pass == metal::Pass::dq) {
      EXPECT_EQ(plan.rows_of_threadgroup(), 32);
      EXPECT_EQ(plan.columns, 16);
    }
  }
  // Two trials, of which one goes backward, and the call.
  EXPECT_EQ(
      std::ranges::count_if(
          launcher->executed,
          [](const auto& one) {
            return one.first.pass == metal::Pass::forward;
          }),
      3);
}

TEST_F(Tuned, ChoiceFollowsTheTable) {
  const MetalOnCpu scope(backend);
  attention.D = attention.Dv = 64;
  EXPECT_EQ(explain(attention).choice.name, "mlx"); // before measurement
  {
    const TableScope table({{key(Pass::forward), {64, 32, false}}});
    const auto told = explain(attention);
    EXPECT_EQ(told.choice.name, "tessera/metal");
    EXPECT_NE(told.choice.reason.find("saved table"), std::string::npos);
  }
  const TableScope table({{key(Pass::forward), {64, 32, true}}});
  EXPECT_EQ(explain(attention).choice.name, "mlx");
  // Of few queries, whose gradient MLX's op may not have.
  attention.Nq = 4;
  const TableScope few({{key(Pass::forward), {64, 32, true}}});
  EXPECT_EQ(explain(attention).choice.name, "tessera/metal");
}

TEST_F(Tuned, ExplanationNamesTheTiles) {
  const TableScope table(other_tiles());
  const MetalOnCpu scope(backend);
  attention.implementation = Implementation::tessera;
  const auto told = explain(attention);
  ASSERT_EQ(told.kernels.size(), 3u);
  EXPECT_TRUE(told.passes.empty());
  EXPECT_EQ(told.kernels[1].kernel, "dq");
  EXPECT_TRUE(told.kernels[0].tuned && told.kernels[1].tuned);
  EXPECT_EQ(told.kernels[0].plan[1], (PlanFact("columns", 8)));
  const TableScope none(Table{});
  EXPECT_FALSE(explain(attention).kernels[0].tuned);
}

// An explanation needs no GPU.
TEST_F(Tuned, ExplainsAGpuThatIsNotHere) {
  attention.window = Window{9, 0};
  attention.D = attention.Dv = 80;
  const auto first = explain(attention, metal::Family::m1);
  EXPECT_EQ(first.choice.name, "tessera/metal");
  EXPECT_NE(
      first.kernels[0].plan,
      explain(attention, metal::Family::m3).kernels[0].plan);
  EXPECT_EQ(explain(attention).choice.name, "tessera/cpu");
}

TEST_F(Tuned, TargetIsTheGpuWhereThereIsOne) {
  const auto problem = cases::problem_of(attention, Pass::forward);
  EXPECT_EQ(bench::this_target().key(problem).isa, name(cpu_device().isa));
  const MetalOnCpu scope(backend);
  const auto target = bench::this_target();
  EXPECT_EQ(target.key(problem), key(Pass::forward));
  EXPECT_EQ(
      target.candidates(problem),
      metal::candidates(problem, metal::Family::m2));
}

} // namespace
} // namespace tessera::test
