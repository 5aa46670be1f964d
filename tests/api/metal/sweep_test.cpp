#include <gtest/gtest.h>

#include "api/metal/sweep.h"

// A part of the sweep that every run takes; metal/nightly_test.cpp is the
// whole.
namespace tessera::test {
namespace {

TEST(Metal, EveryFeature) {
  unsigned seed = 0;
  for (const auto& row : feature_rows) {
    ++seed;
    check_on_metal(
        affordable_case(
            seed,
            [&](Case& c) {
              c = without_features(c);
              c.problem.dtype = dtypes[seed % dtypes.size()];
              Generator g(seed);
              row.add(c, g);
            }),
        family_for(seed));
  }
}

TEST(Metal, EveryHeadDimension) {
  unsigned seed = 100;
  for (const int D : head_dims) {
    ++seed;
    check_on_metal(
        affordable_case(
            seed,
            [&](Case& c) {
              c = without_features(c);
              c.problem.D = D;
              c.problem.causal = seed % 2 == 0;
            }),
        family_for(seed));
  }
}

TEST(Metal, Fuzz) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    Case c = fuzz_case(seed);
    for (unsigned next = seed; cost(c.problem) > 1e7;) {
      c = fuzz_case(next += 1000);
    }
    check_on_metal(c, family_for(seed));
  }
}

} // namespace
} // namespace tessera::test
