#include "ops/swiglu.h"

#include "ops/beside_plain.h"

namespace tessera::test {

namespace {

Arrays plain(const Arrays& x) {
  return {x[0] * mx::sigmoid(x[0]) * x[1]};
}

Arrays ours(const Arrays& x) {
  return {ops::swiglu(x[0], x[1])};
}

TEST(Swiglu, MatchesFloat64) {
  for (const float size : {0.01f, 1.0f, 30.0f}) {
    for (const mx::Shape& shape :
         {mx::Shape{1, 16}, {3, 17}, {2, 5, 64}, {700, 33}}) {
      expect_beside_plain(
          ours,
          plain,
          {normal(shape, 1, size), normal(shape, 2, size)},
          {normal(shape, 3)});
    }
  }
}

// exp(|gate|) overflows long before these.
TEST(Swiglu, StandsLargeGates) {
  const auto gate = mx::array({-1e4f, -100.0f, 0.0f, 100.0f, 1e4f}, {1, 5});
  const auto up = mx::full({1, 5}, 2.0f);
  const auto all = with_gradients(ours, {gate, up}, {mx::ones({1, 5})});
  EXPECT_EQ(doubles(all[0]), (std::vector<double>{0, 0, 0, 200, 2e4}));
  EXPECT_EQ(doubles(all[1]), (std::vector<double>{0, 0, 1, 2, 2}));
  EXPECT_EQ(doubles(all[2]), (std::vector<double>{0, 0, 0, 100, 1e4}));
}

TEST(Swiglu, CarriesNaN) {
  const auto y = ours({mx::array({NAN, 1.0f}), mx::array({1.0f, NAN})})[0];
  EXPECT_TRUE(mx::all(mx::isnan(y)).item<bool>());
}

TEST(Swiglu, ReadsStridedInputs) {
  const auto gate = normal({6, 4}, 4);
  const auto up = normal({6, 4}, 5);
  const auto turned = ours({mx::transpose(gate), mx::transpose(up)})[0];
  EXPECT_TRUE(
      mx::array_equal(mx::transpose(turned), ours({gate, up})[0]).item<bool>());
}

} // namespace

} // namespace tessera::test
