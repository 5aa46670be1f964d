#include "reference.h"

#include <gtest/gtest.h>

#include "backend/cpu/sweep.h"

// The reference itself: its random numbers by the published vectors, its
// gradients by finite differences, its edges by hand.
namespace tessera::test {
namespace {

// The known answers that Random123 is distributed with (kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(
      philox({0, 0, 0, 0}, {0, 0}),
      (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(
      philox({ones, ones, ones, ones}, {ones, ones}),
      (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox(
          {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
          {0xa4093822, 0x299f31d0}),
      (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// sum(O * dO) + sum(L * dL), whose gradients the reference gives, and the sum
// of its absolute terms.
struct Loss {
  double value = 0;
  double terms = 0;

  void add(const Values& a, const Values& b) {
    for (std::size_t e = 0; e < a.size(); ++e) {
      if (std::isfinite(a[e])) { // L of a row that sees no key is not
        value += a[e] * b[e];
        terms += std::abs(a[e] * b[e]);
      }
    }
  }
};

Loss loss(const Case& c, const Inputs& in) {
  const auto out = reference(c.problem, c.scalars(), in).value;
  Loss sum;
  sum.add(out.O, in.dO);
  sum.add(out.L, in.dL);
  return sum;
}

// Central differences at h and h / 2, whose difference bounds the error of the
// better one but for rounding; of that a term of the loss carries some 16 times
// the least.
void check_gradient(
    const Case& c,
    const Inputs& in,
    Values Inputs::*input,
    Values Outputs::*gradient) {
  const auto analytic = reference(c.problem, c.scalars(), in).value.*gradient;
  const auto slope = [&](std::size_t e, double h) {
    Inputs up = in;
    Inputs down = in;
    (up.*input)[e] += h;
    (down.*input)[e] -= h;
    return (loss(c, up).value - loss(c, down).value) / (2 * h);
  };
  const double h = 1e-4;
  const double rounding =
      16 * std::numeric_limits<double>::epsilon() * loss(c, in).terms / h;
  ASSERT_EQ(analytic.size(), (in.*input).size());
  for (std::size_t e = 0; e < analytic.size(); ++e) {
    const double coarse = slope(e, h);
    const double fine = slope(e, h / 2);
    EXPECT_NEAR(analytic[e], fine, std::abs(coarse - fine) + rounding) << e;
  }
}

void check_gradients(const Case& c) {
  constexpr std::tuple<const char*, Values Inputs::*, Values Outputs::*>
      pairs[] = {
          {"Q", &Inputs::Q, &Outputs::dQ},
          {"K", &Inputs::K, &Outputs::dK},
          {"V", &Inputs::V, &Outputs::dV},
          {"bias", &Inputs::bias, &Outputs::dbias},
          {"slopes", &Inputs::slopes, &Outputs::dslopes},
          {"sinks", &Inputs::sinks, &Outputs::dsinks}};
  const auto in = random_inputs(c);
  for (const auto& [name, input, gradient] : pairs) {
    SCOPED_TRACE(name + describe_features(c));
    check_gradient(c, in, input, gradient);
  }
}

// Small enough for a reference a difference; square, and either side longer.
Case small_case(unsigned seed) {
  constexpr int sizes[][2] = {{4, 4}, {3, 5}, {5, 3}};
  Case c;
  c.seed = seed;
  c.problem.B = 2;
  c.problem.Hq = 2;
  c.problem.Hkv = seed % 2 == 0 ? 1 : 2;
  c.problem.Nq = sizes[seed % 3][0];
  c.problem.Nk = sizes[seed % 3][1];
  c.problem.D = 3;
  c.problem.Dv = 2;
  return c;
}

TEST(Reference, GradientsOfEveryPairOfFeaturesAreThoseOfFiniteDifferences) {
  unsigned seed = 0;
  for (std::size_t a = 0; a < feature_rows.size(); ++a) {
    for (std::size_t b = a; b < feature_rows.size(); ++b) {
      for (int sizes = 0; sizes < 3; ++sizes) {
        Case c = small_case(++seed);
        Generator g(seed);
        feature_rows[a].add(c, g);
        feature_rows[b].add(c, g);
        check_gradients(c);
      }
    }
  }
}

TEST(Reference, GradientsOfManyFeaturesAreThoseOfFiniteDifferences) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    Case c = small_case(seed);
    Generator g(seed);
    for (const auto& row : feature_rows) {
      if (chance(0.5, g)) {
        row.add(c, g);
      }
    }
    check_gradients(c);
  }
}

TEST(Reference, GradientsWithoutAnyFeatureAreThoseOfFiniteDifferences) {
  for (unsigned seed = 0; seed < 6; ++seed) {
    check_gradients(small_case(seed));
  }
}

Case one_head(int Nq, int Nk) {
  Case c;
  c.problem.B = c.problem.Hq = c.problem.Hkv = 1;
  c.problem.D = c.problem.Dv = 1;
  c.problem.Nq = Nq;
  c.problem.Nk = Nk;
  return c;
}

// Two queries, no key.
TEST(Reference, ARowWithoutKeysHasItsSinkAlone) {
  Case c = one_head(2, 0);
  auto in = random_inputs(c);
  auto out = reference(c.problem, c.scalars(), in).value;
  EXPECT_EQ(out.O, (Values{0, 0}));
  EXPECT_EQ(out.L, (Values{-INFINITY, -INFINITY}));
  EXPECT_EQ(out.dQ, (Values{0, 0}));

  c.problem.features.sinks = true;
  in.sinks = {0.75};
  out = reference(c.problem, c.scalars(), in).value;
  EXPECT_EQ(out.O, (Values{0, 0}));
  EXPECT_EQ(out.L, (Values{0.75, 0.75}));
  EXPECT_EQ(out.dQ, (Values{0, 0}));
  EXPECT_EQ(out.dsinks, Values{in.dL[0] + in.dL[1]}); // L is the sink
}

// One query of three keys, each step of its scores by hand.
TEST(Reference, TheOrderOfAScore) {
  Case c = one_head(1, 3);
  c.problem.features.softcap = c.problem.features.bias =
      c.problem.features.alibi = c.problem.features.sinks = true;
  const Scalars scalars{0.5, 2, 0};
  Inputs in = random_inputs(c);
  in.Q = {3};
  in.K = {1, 2, 4};
  in.V = {10, 20, 30};
  in.bias_shape = in.slopes_shape = {1, 1, 1, 1};
  in.bias = {0.25};
  in.slopes = {0.125};
  in.sinks = {-1};
  double sum = std::exp(-1);
  double O = 0;
  for (std::size_t j = 0; j < 3; ++j) {
    const double s = 2 * std::tanh(0.5 * 3 * in.K[j] / 2) + 0.25 -
        0.125 * (2 - static_cast<double>(j));
    sum += std::exp(s);
    O += std::exp(s) * in.V[j];
  }
  const auto out = reference(c.problem, scalars, in).value;
  EXPECT_DOUBLE_EQ(out.O[0], O / sum);
  EXPECT_DOUBLE_EQ(out.L[0], std::log(sum));
}

// Keys that are dropped leave O and not L, those that stay count 1 / (1 - p)
// times; of n independent ones n (1 - p) stay, within five deviations.
TEST(Reference, DropoutLeavesItsShare) {
  Case c = one_head(100, 100);
  c.problem.features.dropout = true;
  c.dropout = 0.25;
  auto in = random_inputs(c);
  in.Q.assign(in.Q.size(), 0);
  in.V.assign(in.V.size(), 1);
  const auto out = reference(c.problem, c.scalars(), in).value;
  const double n = 100 * 100;
  double kept = 0;
  for (std::size_t row = 0; row < out.O.size(); ++row) {
    kept += out.O[row] * 100 * 0.75;
    EXPECT_DOUBLE_EQ(out.L[row], std::log(100));
  }
  EXPECT_NEAR(kept, n * 0.75, 5 * std::sqrt(n * 0.75 * 0.25));
}

TEST(Dtype, EveryHalfIsReadAndWrittenAsItIs) {
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16}) {
    for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
      const double x = decode(bits, dtype);
      if (!std::isnan(x)) {
        EXPECT_EQ(encode(rounded(x, dtype), dtype), bits);
      }
    }
  }
}

} // namespace
} // namespace tessera::test
