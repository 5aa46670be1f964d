#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

#include "backend/cpu/sweep.h"

// The results of the CPU backend are those of the reference.
namespace tessera::test {
namespace {

// The part of the sweep that every test run has.
std::vector<Case> fast_cases() {
  std::vector<Case> cases;
  double budget = 6e8;
  for (unsigned seed = 1; budget > 0; ++seed) {
    const Case c = random_case(seed);
    if (cost(c.problem) <= 1e7) {
      budget -= cost(c.problem);
      cases.push_back(c);
    }
  }
  return cases;
}

TEST(Attention, RandomCasesAgreeWithTheReference) {
  for (const Case& c : fast_cases()) {
    check(c);
  }
}

// What the cases above leave out would be tested by the nightly alone.
TEST(Attention, RandomCasesReachEveryPairOfFeatures) {
  std::set<std::pair<std::string, std::string>> reached;
  for (const Case& c : fast_cases()) {
    std::vector<std::string> has = {
        fmt::format("dtype {}", static_cast<int>(c.problem.dtype)),
        fmt::format("layout {}", static_cast<int>(c.layout))};
    for (const auto& row : feature_rows) {
      if (row.has(c.problem)) {
        has.push_back(row.name);
      }
    }
    for (const auto& a : has) {
      for (const auto& b : has) {
        reached.emplace(a, b);
      }
    }
  }
  for (const auto& a : feature_rows) {
    for (const auto& b : feature_rows) {
      EXPECT_TRUE(reached.contains({a.name, b.name})) << a.name << b.name;
    }
    for (const Dtype dtype : dtypes) {
      const auto name = fmt::format("dtype {}", static_cast<int>(dtype));
      EXPECT_TRUE(reached.contains({a.name, name})) << a.name << name;
    }
    for (const Layout layout : layouts) {
      const auto name = fmt::format("layout {}", static_cast<int>(layout));
      EXPECT_TRUE(reached.contains({a.name, name})) << a.name << name;
    }
  }
}

TEST(Attention, ManyBlocks) {
  for (unsigned seed = 1; seed <= 25; ++seed) {
    check(long_case(seed), 48, 2);
  }
}

// Each feature alone, where it skips blocks.
TEST(Attention, ManyBlocksOfEachFeature) {
  unsigned seed = 0;
  for (const auto& row : feature_rows) {
    Case c = make_case(310, 370, 16, false, 2, 2);
    c.problem.B = 1;
    c.seed = ++seed;
    Generator g(seed);
    row.add(c, g);
    check(c, 48);
  }
}

TEST(Attention, EveryBlockSizeThatIsLegal) {
  Case c = make_case(131, 131, 20, true);
  const auto inputs = random_inputs(c);
  const auto expected = expect(c.problem, c.scalars(), inputs);
  for (const Isa isa : isas()) {
    int legal = 0;
    for (int block = 16; block <= 160; block += 16) {
      if (!is_legal(c.problem, isa, block)) {
        continue;
      }
      ++legal;
      Computation computation(c, inputs, device_with(isa), block);
      EXPECT_EQ(difference(expected, computation.run()), "")
          << describe(c, {isa, block});
    }
    EXPECT_GE(legal, 3);
  }
}

// Blocks that are no whole number of register tiles: what the last one runs
// over, keys of the next block among it, must add nothing.
TEST(Attention, BlocksThatCutRegisterTiles) {
  for (const int block : {16, 32, 64, 80}) {
    for (const Dtype dtype : dtypes) {
      Case c = make_case(70, 90, 20, false);
      c.problem.dtype = dtype;
      // Scores far below those of the zeros behind a block.
      auto in = random_inputs(c);
      in.Q.assign(in.Q.size(), 10);
      in.K.assign(in.K.size(), -10);
      check(c, in, block);
      // Gradients that are sums over all keys.
      c.problem.features.alibi = c.problem.features.bias = true;
      c.bias.single = {true, false, false, true};
      check(c, block);
      c.problem.features.dropout = c.problem.features.softcap = true;
      c.problem.features.mask = c.problem.features.segments = true;
      check(c, block);
    }
  }
}

TEST(Attention, TakesANegativeScaleAndNearlyZero) {
  Case c = make_case(33, 65, 8, true);
  c.scale = -0.7;
  check(c);
  c.scale = 1e-30;
  check(c);
}

// Generation, and the first queries after a long prompt.
TEST(Attention, ShortQueriesOfLongKeys) {
  for (const int Nq : {1, 2, 3, 5, 8, 12, 16}) {
    for (const bool causal : {false, true}) {
      Case c = make_case(Nq, 700 + Nq, 32, causal, 4, 2);
      c.problem.B = 1;
      c.problem.dtype = dtypes[static_cast<std::size_t>(Nq) % dtypes.size()];
      check(c, 0, 2);
      c.problem.left = 500;
      c.problem.features.sinks = true;
      check(c);
    }
  }
}

TEST(Attention, LargeHeadDimensions) {
  for (const auto& [D, Dv] : {std::pair{512, 512}, {512, 8}, {8, 512}}) {
    for (const Dtype dtype : dtypes) {
      Case c = make_case(65, 65, D, true);
      c.problem.B = 1;
      c.problem.Dv = Dv;
      c.problem.dtype = dtype;
      check(c);
    }
  }
}

// Scores of 1e4, far beyond what exp takes, whatever is done to them.
TEST(Attention, LargeScores) {
  unsigned seed = 0;
  for (const auto& row : feature_rows) {
    for (const Dtype dtype : dtypes) {
      Case c = make_case(65, 70, 16, false);
      c.amplitude = 2500;
      c.seed = ++seed;
      c.problem.dtype = dtype;
      Generator g(seed);
      row.add(c, g);
      check(c);
    }
  }
}

// Slopes that take the scores of far keys to -1e4 and of near ones to 0.
TEST(Attention, SteepSlopes) {
  Case c = make_case(100, 100, 8, true);
  c.problem.features.alibi = true;
  auto inputs = random_inputs(c);
  inputs.slopes.assign(inputs.slopes.size(), 100);
  inputs.slopes[0] = -100;
  check(c, inputs);
}

TEST(Attention, WithoutQueriesKeysOrBatch) {
  for (const bool features : {false, true}) {
    for (const auto& [Nq, Nk, B] :
         {std::array{5, 0, 2}, {0, 5, 2}, {5, 5, 0}}) {
      Case c = make_case(Nq, Nk, 8, false);
      c.problem.B = B;
      Generator g(1);
      for (const auto& row : feature_rows) {
        if (features) {
          row.add(c, g);
        }
      }
      check(c);
    }
  }
}

} // namespace
} // namespace tessera::test
