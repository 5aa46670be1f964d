#include "backend/cpu/tile/vec.h"

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

float exp2_of(float x) {
  return V::exp2(V::broadcast(x))[0];
}

TEST(Vec, Exp2IsWithinTwoUlp) {
  for (int i = 0; i <= 1'000'000; ++i) {
    const float x = -126.0f + 253.0f * static_cast<float>(i) / 1e6f;
    const double exact = std::exp2(static_cast<double>(x));
    const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
    ASSERT_LE(std::abs(exp2_of(x) - exact), 2 * ulp) << x;
  }
}

TEST(Vec, Exp2OfWhatIsMaskedIsZero) {
  EXPECT_EQ(exp2_of(-INFINITY), 0.0f);
  EXPECT_EQ(exp2_of(-1000.0f), 0.0f);
  EXPECT_EQ(exp2_of(0.0f), 1.0f);
  EXPECT_TRUE(std::isnan(exp2_of(NAN)));
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
