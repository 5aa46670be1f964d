#include <gtest/gtest.h>

#include "backend/cpu/sweep.h"

namespace tessera::test {
namespace {

TEST(Attention, RandomCasesAgreeWithTheReference) {
  double budget = 3e8;
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
  EXPECT_GE(cases, 100);
}

} // namespace
} // namespace tessera::test
