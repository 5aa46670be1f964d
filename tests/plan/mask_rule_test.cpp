#include <gtest/gtest.h>

#include <random>
#include <string>

#include "inputs.h"

// Mask::span against the rule of the semantics, for masks at random.
namespace tessera {
namespace {

std::string describe(const Mask& m) {
  const auto side = [](int keys) {
    return keys == unbounded ? std::string("-") : std::to_string(keys);
  };
  return std::to_string(m.Nq) + " queries, " + std::to_string(m.Nk) + " keys" +
      (m.causal ? ", causal" : "") + ", window " + side(m.left) + ":" +
      side(m.right) + ", chunk " + std::to_string(m.chunk) + ", prefix " +
      std::to_string(m.prefix) + ", row ";
}

// A mask as a problem whose features are those that a mask speaks of.
Problem problem_of(const Mask& mask) {
  Problem p;
  p.Nq = mask.Nq;
  p.Nk = mask.Nk;
  p.causal = mask.causal;
  p.left = mask.left;
  p.right = mask.right;
  p.chunk = mask.chunk;
  p.features.prefix = true;
  return p;
}

Mask random_mask(std::mt19937& g, int longest) {
  const auto draw = [&](int lo, int hi) {
    return std::uniform_int_distribution<int>(lo, hi)(g);
  };
  const auto side = [&] {
    const int kind = draw(0, 3);
    return kind == 0 ? unbounded
        : kind == 1  ? unbounded - 1 // whose sum with a position overflows
                     : draw(0, longest);
  };
  Mask mask;
  mask.Nq = draw(1, longest);
  mask.Nk = draw(1, longest);
  mask.causal = draw(0, 1) == 1;
  mask.left = side();
  mask.right = side();
  if (mask.causal) {
    mask.chunk = draw(0, 1) * draw(1, longest);
    mask.prefix = draw(0, 1) * draw(1, longest);
  }
  return mask;
}

TEST(Mask, SpanIsTheRule) {
  for (unsigned seed = 1; seed <= 500; ++seed) {
    std::mt19937 g(seed);
    const Mask mask = random_mask(g, 30);
    const Problem p = problem_of(mask);
    test::Inputs in;
    in.prefix = {static_cast<double>(mask.prefix)};
    for (int i = 0; i < mask.Nq; ++i) {
      const Span span = mask.span(i);
      EXPECT_TRUE(0 <= span.lo && span.lo <= span.hi && span.hi <= mask.Nk);
      for (int j = 0; j < mask.Nk; ++j) {
        EXPECT_EQ(span.lo <= j && j < span.hi, test::seen(p, in, 0, 0, i, j))
            << describe(mask) << ": " << i << " " << j;
      }
    }
  }
}

// At lengths up to the largest int only the ends of a span can be looked at.
TEST(Mask, SpanIsTheRuleAtAnyLength) {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    std::mt19937 g(seed);
    const Mask mask = random_mask(g, unbounded - 1);
    const Problem p = problem_of(mask);
    test::Inputs in;
    in.prefix = {static_cast<double>(mask.prefix)};
    const int last = mask.Nq - 1;
    for (const int i : {0, last / 3, last / 2, last}) {
      const Span span = mask.span(i);
      const auto sees = [&](int j) {
        return 0 <= j && j < mask.Nk && test::seen(p, in, 0, 0, i, j);
      };
      const bool some = !span.empty();
      EXPECT_EQ(sees(span.lo), some) << describe(mask) << i;
      EXPECT_EQ(sees(span.hi - 1), some) << describe(mask) << i;
      EXPECT_FALSE(sees(span.lo - 1)) << describe(mask) << i;
      EXPECT_FALSE(sees(span.hi)) << describe(mask) << i;
    }
  }
}

// Read off the problem, with each batch entry's own prefix.
TEST(Mask, OfAProblem) {
  const Mask mask{6, 9, true, 4, 2, 5, 3};
  EXPECT_EQ(problem_of(mask).mask(3), mask);
}

} // namespace
} // namespace tessera
