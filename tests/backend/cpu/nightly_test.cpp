#include <gtest/gtest.h>

#include <tuple>

#include "backend/cpu/sweep.h"

// The whole sweep: every pair of lengths with every head dimension and dtype,
// every pair of features with every dtype; all else is drawn.
namespace tessera::test {
namespace {

using Corner = std::tuple<int, Dtype, bool>;

class Sweep : public testing::TestWithParam<Corner> {};

TEST_P(Sweep, AgreesWithTheReference) {
  const auto [D, dtype, causal] = GetParam();
  unsigned seed = 1000u * static_cast<unsigned>(D);
  for (const int Nq : lengths) {
    for (const int Nk : lengths) {
      Case c = random_case(++seed);
      c.problem.D = D;
      c.problem.dtype = dtype;
      c.problem.causal = causal || needs_causal(c.problem);
      c.problem.Nq = Nq;
      c.problem.Nk = Nk;
      if (Nq == 1000 && Nk == 1000) {
        c.problem.B = c.problem.Hkv = 1;
        c.problem.Hq = 2;
      }
      check(c);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All,
    Sweep,
    testing::Combine(
        testing::ValuesIn(head_dims),
        testing::ValuesIn(dtypes),
        testing::Bool()));

using FeaturePair = std::pair<std::size_t, std::size_t>;

std::vector<FeaturePair> feature_pairs() {
  std::vector<FeaturePair> pairs;
  for (std::size_t b = 0; b < feature_rows.size(); ++b) {
    for (std::size_t a = 0; a < b; ++a) {
      pairs.emplace_back(a, b);
    }
  }
  return pairs;
}

class Pairs : public testing::TestWithParam<std::tuple<FeaturePair, Dtype>> {};

// At the sizes of the sweep and at lengths of several blocks.
TEST_P(Pairs, AgreesWithTheReference) {
  const auto [pair, dtype] = GetParam();
  const auto [a, b] = pair;
  unsigned seed = static_cast<unsigned>(100 * (a * feature_rows.size() + b));
  for (int checked = 0; checked < 9;) {
    ++seed;
    const bool long_one = checked % 3 == 0;
    Case c = without_features(long_one ? long_case(seed) : random_case(seed));
    c.problem.dtype = dtype;
    Generator g(seed);
    feature_rows[a].add(c, g);
    feature_rows[b].add(c, g);
    if (cost(c.problem) <= 1e8) {
      check(c, long_one ? 48 : 0, 2);
      ++checked;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All,
    Pairs,
    testing::Combine(
        testing::ValuesIn(feature_pairs()), testing::ValuesIn(dtypes)));

TEST(Fuzz, AgreesWithTheReference) {
  for (unsigned seed = fuzz_count + 1; seed <= 40 * fuzz_count; ++seed) {
    fuzz(seed);
  }
}

} // namespace
} // namespace tessera::test
