#include "reference.h"

#include <gtest/gtest.h>

#include "backend/cpu/sweep.h"

namespace tessera::test {
namespace {

// sum(O * dO) + sum(L * dL), whose gradients the reference gives.
double loss(const Case& c, const Inputs& in) {
  const auto out = reference(c.problem, c.factor(), in).value;
  double sum = 0;
  for (std::size_t e = 0; e < out.O.size(); ++e) {
    sum += out.O[e] * in.dO[e];
  }
  for (std::size_t e = 0; e < out.L.size(); ++e) {
    sum += std::isfinite(out.L[e]) ? out.L[e] * in.dL[e] : 0;
  }
  return sum;
}

// Central differences at h and h / 2, whose difference bounds the error of the
// better one but for rounding.
void check_gradient(
    const Case& c, Values Inputs::*input, Values Outputs::*gradient) {
  const auto in = random_inputs(c);
  const auto analytic = reference(c.problem, c.factor(), in).value.*gradient;
  const auto slope = [&](std::size_t e, double h) {
    Inputs up = in;
    Inputs down = in;
    (up.*input)[e] += h;
    (down.*input)[e] -= h;
    return (loss(c, up) - loss(c, down)) / (2 * h);
  };
  const double h = 1e-4;
  const double rounding = 1e-14 * std::abs(loss(c, in)) / h;
  for (std::size_t e = 0; e < analytic.size(); ++e) {
    const double coarse = slope(e, h);
    const double fine = slope(e, h / 2);
    EXPECT_NEAR(
        analytic[e], fine, std::abs(coarse - fine) + 4 * rounding + 1e-12)
        << e;
  }
}

TEST(Reference, GradientsAreThoseOfFiniteDifferences) {
  for (const bool causal : {false, true}) {
    for (const auto& [Nq, Nk] : {std::pair{4, 4}, {3, 5}, {5, 3}}) {
      Case c;
      c.problem = {
          Pass::forward, Dtype::float32, 1, 4, 2, Nq, Nk, 3, 2, causal};
      check_gradient(c, &Inputs::Q, &Outputs::dQ);
      check_gradient(c, &Inputs::K, &Outputs::dK);
      check_gradient(c, &Inputs::V, &Outputs::dV);
    }
  }
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
