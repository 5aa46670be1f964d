#include "backend/cpu/tile/vec.h"

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/launch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "dtype.h"

// The verbs as the portable target has them; each instruction set is held to
// the reference by the attention tests.
namespace tessera::cpu {
namespace {

struct Target {
  static constexpr RegisterTile tile = register_tile(Isa::portable);
};
using V = Vec<Target>;

// f of each x on an instruction set, beside the exact value.
void check_within_three_ulp(
    void (*f)(float*, int), double (*exact)(double), std::vector<float> x) {
  std::vector<float> y = x;
  f(y.data(), static_cast<int>(y.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = exact(static_cast<double>(x[i]));
    const int exponent = expected == 0 ? -126 : std::ilogb(expected);
    const double ulp = std::ldexp(1.0, std::max(exponent, -126) - 23);
    ASSERT_LE(std::abs(y[i] - expected), 3 * ulp) << x[i];
  }
}

const Kernels& kernels_with(Isa isa) {
  Plan plan;
  plan.isa = isa;
  Problem problem;
  problem.dtype = Dtype::bfloat16; // the instruction set's own words
  return kernels_for(problem, plan);
}

TEST(Vec, Exp2IsWithinThreeUlp) {
  std::vector<float> x;
  for (int i = 0; i <= 1'000'000; ++i) {
    x.push_back(-126.0f + 253.0f * static_cast<float>(i) / 1e6f);
  }
  for (const Isa isa : supported_isas()) {
    check_within_three_ulp(kernels_with(isa).exp2, std::exp2, x);
  }
}

TEST(Vec, TanhIsWithinThreeUlp) {
  std::vector<float> x;
  for (int i = -1'000'000; i <= 1'000'000; ++i) {
    const float t = static_cast<float>(i) / 1e6f;
    x.push_back(12 * t);
    x.push_back(t * t * t); // as dense near 0
  }
  for (const Isa isa : supported_isas()) {
    check_within_three_ulp(kernels_with(isa).tanh, std::tanh, x);
  }
}

TEST(Vec, ElementaryFunctionsOfWhatIsNotFinite) {
  for (const Isa isa : supported_isas()) {
    std::vector<float> x = {-INFINITY, -1000.0f, 0.0f, NAN};
    kernels_with(isa).exp2(x.data(), 4);
    EXPECT_EQ(x[0], 0.0f);
    EXPECT_EQ(x[1], 0.0f);
    EXPECT_EQ(x[2], 1.0f);
    EXPECT_TRUE(std::isnan(x[3]));
    std::vector<float> y = {-INFINITY, INFINITY, -0.0f, NAN};
    kernels_with(isa).tanh(y.data(), 4);
    EXPECT_EQ(y[0], -1.0f);
    EXPECT_EQ(y[1], 1.0f);
    EXPECT_TRUE(y[2] == 0.0f && std::signbit(y[2]));
    EXPECT_TRUE(std::isnan(y[3]));
  }
}

float through(float x, Dtype dtype) {
  std::uint16_t half[2 * V::lanes] = {};
  V::store_features({half, dtype, 1}, 0, V::lanes, V::broadcast(x));
  return V::load_features({half, dtype, 1}, 0, V::lanes)[0];
}

TEST(Vec, ReadsEveryHalf) {
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16}) {
    for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
      std::uint16_t half[2 * V::lanes] = {static_cast<std::uint16_t>(bits)};
      const double got = V::load_features({half, dtype, 1}, 0, V::lanes)[0];
      const double expected = test::decode(bits, dtype);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(got)) << bits;
      } else {
        EXPECT_EQ(got, expected) << bits;
        EXPECT_EQ(std::signbit(got), std::signbit(expected)) << bits;
      }
    }
  }
}

TEST(Vec, RoundsToTheNearestHalfTiesToEven) {
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16}) {
    for (std::uint32_t bits = 0; bits < 0x7c00u; bits += 7) {
      const double low = test::decode(bits, dtype);
      const double high = test::decode(bits + 1, dtype);
      for (const double part : {0.0, 0.25, 0.5, 0.75}) {
        const float x = static_cast<float>(low + (high - low) * part);
        EXPECT_EQ(through(x, dtype), test::rounded(x, dtype)) << x;
        EXPECT_EQ(through(-x, dtype), test::rounded(-x, dtype)) << x;
      }
    }
    EXPECT_EQ(through(INFINITY, dtype), INFINITY);
    EXPECT_EQ(through(-3.3e38f, Dtype::float16), -INFINITY);
    EXPECT_TRUE(std::isnan(through(NAN, dtype)));
  }
}

TEST(Vec, FeaturesBehindTheLastAreZero) {
  const std::vector<float> row = {1, 9, 9, 2, 9, 9, 3, 9, 9};
  const auto v = V::load_features(
      {const_cast<float*>(row.data()), Dtype::float32, 3}, 0, 3);
  EXPECT_EQ(v[0], 1.0f);
  EXPECT_EQ(v[1], 2.0f);
  EXPECT_EQ(v[2], 3.0f);
  EXPECT_EQ(v[3], 0.0f);
}

} // namespace
} // namespace tessera::cpu
