#include "ops/rms_norm.h"

#include "ops/beside_plain.h"

namespace tessera::test {

namespace {

Function plain(float eps) {
  return [eps](const Arrays& x) -> Arrays {
    const auto mean = mx::mean(mx::square(x[0]), -1, true);
    return {x[0] * mx::rsqrt(mean + mx::array(eps, x[0].dtype())) * x[1]};
  };
}

Function ours(float eps) {
  return [eps](const Arrays& x) -> Arrays {
    return {ops::rms_norm(x[0], x[1], eps)};
  };
}

TEST(RmsNorm, MatchesFloat64) {
  for (const float size : {1e-3f, 1.0f, 1e3f}) {
    for (const mx::Shape& shape :
         {mx::Shape{1, 1}, {3, 15}, {2, 3, 16}, {5, 17}, {600, 512}}) {
      expect_beside_plain(
          ours(1e-5f),
          plain(1e-5f),
          {normal(shape, 1, size), normal({shape.back()}, 2)},
          {normal(shape, 3)});
    }
  }
}

TEST(RmsNorm, OfZerosIsZero) {
  const auto all = with_gradients(
      ours(1e-6f), {mx::zeros({2, 8}), mx::ones({8})}, {mx::ones({2, 8})});
  EXPECT_EQ(largest(doubles(all[0])), 0);
  EXPECT_NEAR(largest(doubles(all[1])), 1e3, 1e-3);
}

} // namespace

} // namespace tessera::test
