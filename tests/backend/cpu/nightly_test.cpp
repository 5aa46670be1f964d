#include <gtest/gtest.h>

#include <tuple>

#include "backend/cpu/sweep.h"

// The whole sweep: every pair of lengths with every head dimension, dtype and
// mask; value dimension, heads, memory layout and size of scores are drawn.
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
      c.problem.causal = causal;
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

} // namespace
} // namespace tessera::test
