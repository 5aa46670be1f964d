#include "model/sample.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace tessera {
namespace {

// softmax: 0.1, 0.4, 0.2, 0.3
const std::vector<float> logits = {
    std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};

// How often each token is drawn, of 1000 evenly spread numbers.
std::array<int, 4> counts(float temperature, float top_p) {
  std::array<int, 4> found = {};
  for (int i = 0; i < 1000; ++i) {
    ++found.at(
        std::size_t(sample(logits, temperature, top_p, (i + 0.5) / 1000)));
  }
  return found;
}

TEST(Sample, TemperatureZeroIsTheMostLikely) {
  EXPECT_EQ(sample(logits, 0, 1, 0.99), 1);
  EXPECT_EQ(sample(std::vector{1.0f, 3.0f, 3.0f}, 0, 1, 0.99), 1);
}

TEST(Sample, FollowsTheSoftmax) {
  EXPECT_EQ(counts(1, 1), (std::array{100, 400, 200, 300}));
}

TEST(Sample, TopPKeepsTheFewestThatReachIt) {
  // 0.4 / 0.7 and 0.3 / 0.7 of 1000.
  EXPECT_EQ(counts(1, 0.6f), (std::array{0, 571, 0, 429}));
  EXPECT_EQ(counts(1, 0.39f), (std::array{0, 1000, 0, 0}));
  EXPECT_EQ(counts(1, 1e-9f), (std::array{0, 1000, 0, 0}));
}

TEST(Sample, TemperatureSharpens) {
  // Squares: 0.01, 0.16, 0.04, 0.09 of 0.30.
  const auto got = counts(0.5f, 1);
  const std::array want = {33.3, 533.3, 133.3, 300.0};
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 1) << i;
  }
}

TEST(Sample, TinyTemperatureIsGreedy) {
  EXPECT_EQ(counts(1e-30f, 1), (std::array{0, 1000, 0, 0}));
}

} // namespace
} // namespace tessera
