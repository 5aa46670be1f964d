#include <gtest/gtest.h>

#include "backend/cpu/sweep.h"

namespace tessera::test {
namespace {

Case make_case(int Nq, int Nk, int D, bool causal, int Hq = 2, int Hkv = 1) {
  Case c;
  c.problem.B = 2;
  c.problem.Hq = Hq;
  c.problem.Hkv = Hkv;
  c.problem.Nq = Nq;
  c.problem.Nk = Nk;
  c.problem.D = c.problem.Dv = D;
  c.problem.causal = causal;
  return c;
}

TEST(Attention, RandomCasesAgreeWithTheReference) {
  double budget = 1.5e8;
  int cases = 0;
  for (unsigned seed = 1; budget > 0; ++seed) {
    const Case c = random_case(seed);
    if (cost(c.problem) > 1e7) {
      continue;
    }
    budget -= cost(c.problem);
    ++cases;
    check(c);
  }
  EXPECT_GE(cases, 60);
}

// Lengths well beyond a block either way, so that blocks are skipped, and some
// need a mask and some need none.
TEST(Attention, ManyBlocks) {
  for (const bool causal : {false, true}) {
    check(make_case(450, 450, 24, causal), 48);
    check(make_case(300, 520, 16, causal), 48);
    check(make_case(520, 300, 16, causal), 48);
  }
}

TEST(Attention, EveryBlockSizeThatIsLegal) {
  for (int block = 16; block <= 160; block += 16) {
    check(make_case(131, 131, 20, true), block);
  }
}

TEST(Attention, TakesANegativeScaleAndZero) {
  Case c = make_case(33, 65, 8, true);
  c.scale = -0.7;
  check(c);
  c.scale = 1e-30;
  check(c);
}

TEST(Attention, RowsThatSeeNoKey) {
  const Case c = make_case(40, 9, 8, true);
  const auto inputs = random_inputs(c);
  for (const Isa isa : isas()) {
    const auto got = Computation(c, inputs, device_with(isa)).run();
    for (std::size_t row = 0; row < 31; ++row) {
      EXPECT_EQ(got.L[row], -INFINITY);
      for (std::size_t d = 0; d < 8; ++d) {
        EXPECT_EQ(got.O[row * 8 + d], 0);
        EXPECT_EQ(got.dQ[row * 8 + d], 0);
      }
    }
  }
  check(c);
}

TEST(Attention, WithoutQueriesKeysOrBatch) {
  const Case no_keys = make_case(5, 0, 8, false);
  const Case no_queries = make_case(0, 5, 8, true);
  Case no_batch = make_case(5, 5, 8, true);
  no_batch.problem.B = 0;
  check(no_keys);
  check(no_queries);
  check(no_batch);
  const auto out =
      Computation(no_keys, random_inputs(no_keys), device_with(Isa::portable))
          .run();
  EXPECT_EQ(out.O, Values(out.O.size(), 0));
  EXPECT_EQ(out.L, Values(out.L.size(), -INFINITY));
}

TEST(Attention, BitsDoNotDependOnThreads) {
  for (const Isa isa : isas()) {
    for (const Dtype dtype : dtypes) {
      Case c = make_case(333, 301, 40, true, 6, 2);
      c.problem.dtype = dtype;
      const auto inputs = random_inputs(c);
      const auto one = Computation(c, inputs, device_with(isa, 1), 48).run();
      for (const int threads : {2, 3, 8}) {
        const auto many =
            Computation(c, inputs, device_with(isa, threads), 48).run();
        EXPECT_EQ(many.O, one.O);
        EXPECT_EQ(many.L, one.L);
        EXPECT_EQ(many.dQ, one.dQ);
        EXPECT_EQ(many.dK, one.dK);
        EXPECT_EQ(many.dV, one.dV);
      }
    }
  }
}

// A NaN in one key head stays with the query heads that read it, and, beyond
// the tile that holds it, with the queries that see it.
TEST(Attention, NonFiniteKeysDoNotLeak) {
  for (const double poison : {double{NAN}, double{INFINITY}}) {
    Case c = make_case(200, 200, 8, true, 4, 2);
    auto inputs = random_inputs(c);
    const auto N = static_cast<std::size_t>(c.problem.Nk);
    const std::size_t bad_head = 1;
    const std::size_t bad_key = 150;
    inputs.K[(bad_head * N + bad_key) * 8] = poison;
    inputs.V[(bad_head * N + bad_key) * 8 + 3] = poison;
    for (const Isa isa : isas()) {
      const auto got = Computation(c, inputs, device_with(isa), 48).run();
      for (std::size_t row = 0; row < 2 * 4 * N; ++row) {
        const auto head = row / N;
        const bool same_head = head == 2 || head == 3;
        // Blocks of 48 queries: the first that shares a tile begins at 144.
        if (same_head && row % N >= 144) {
          continue;
        }
        for (std::size_t d = 0; d < 8; ++d) {
          EXPECT_TRUE(std::isfinite(got.O[row * 8 + d])) << row;
          EXPECT_TRUE(std::isfinite(got.dQ[row * 8 + d])) << row;
        }
      }
      EXPECT_FALSE(std::isfinite(got.O[(2 * N + bad_key) * 8 + 3]));
    }
  }
}

TEST(Attention, WorkspaceDoesNotGrowWithTheLengths) {
  for (const Pass pass : {Pass::forward, Pass::dQ, Pass::dKdV}) {
    const auto bytes = [&](int N) {
      Problem problem = make_case(N, N, 128, true).problem;
      problem.pass = pass;
      const auto plan =
          std::get<Plan>(make_plan(problem, device_with(isas().back(), 2)));
      return cpu::workspace_bytes(cpu::make_task(problem, plan, 1.0f));
    };
    EXPECT_EQ(bytes(131072), bytes(2048));
    EXPECT_LE(bytes(131072), 2u * (4u << 20) + 64);
  }
}

} // namespace
} // namespace tessera::test
