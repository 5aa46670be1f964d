#include "train/math/cross_entropy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace tessera::train {

namespace {

// Float64 loops: the loss of each row and, for cotangents c, of the logits.
struct Reference {
  std::vector<double> loss;
  std::vector<double> gradient;
};

Reference reference(
    const std::vector<float>& x,
    const std::vector<int>& targets,
    const std::vector<float>& c) {
  std::size_t rows = targets.size();
  std::size_t vocab = x.size() / rows;
  Reference result;
  for (std::size_t i = 0; i < rows; ++i) {
    const float* row = x.data() + i * vocab;
    double max = *std::max_element(row, row + vocab);
    double sum = 0;
    for (std::size_t j = 0; j < vocab; ++j) {
      sum += std::exp(row[j] - max);
    }
    double L = max + std::log(sum);
    auto target = static_cast<std::size_t>(targets[i]);
    result.loss.push_back(L - row[target]);
    for (std::size_t j = 0; j < vocab; ++j) {
      result.gradient.push_back(
          c[i] * (std::exp(row[j] - L) - (j == target ? 1.0 : 0.0)));
    }
  }
  return result;
}

std::vector<float> values(mx::array a) {
  a = mx::contiguous(mx::flatten(a));
  a.eval();
  return {a.data<float>(), a.data<float>() + a.size()};
}

void expect_matches(int rows, int vocab, float size) {
  SCOPED_TRACE(testing::Message() << rows << " x " << vocab << " of " << size);
  auto key = mx::random::key(static_cast<std::uint64_t>(rows * vocab));
  auto logits = mx::random::normal({rows, vocab}, mx::float32, 0, size, key);
  auto targets = mx::random::randint(0, vocab, {rows}, mx::int32, key);
  auto c = mx::random::uniform(-1.0f, 1.0f, {rows}, mx::float32, key);
  targets.eval();
  auto [loss, gradients] = mx::vjp(
      [&](const std::vector<mx::array>& x) {
        return std::vector{cross_entropy(x[0], targets)};
      },
      {logits},
      {c});
  auto want = reference(
      values(logits),
      {targets.data<int>(), targets.data<int>() + rows},
      values(c));
  auto got = values(loss[0]);
  auto gradient = values(gradients[0]);
  // The loss is a difference of numbers up to 5 `size` + log(vocab): it rounds
  // as they do.
  double ulp = 1.2e-7 * (1 + 5 * size + std::log(vocab));
  for (std::size_t i = 0; i < want.loss.size(); ++i) {
    EXPECT_NEAR(got[i], want.loss[i], 2 * ulp) << "row " << i;
  }
  for (std::size_t i = 0; i < want.gradient.size(); ++i) {
    EXPECT_NEAR(gradient[i], want.gradient[i], 2 * ulp) << "element " << i;
  }
}

TEST(CrossEntropy, MatchesFloat64) {
  for (int vocab : {1, 2, 15, 16, 17, 31, 1000}) {
    for (float size : {0.01f, 1.0f, 10.0f, 1000.0f}) {
      expect_matches(3, vocab, size);
    }
  }
  expect_matches(1, 4097, 3.0f);
}

TEST(CrossEntropy, TakesSixteenBitLogits) {
  auto x =
      mx::astype(mx::array({1.0f, 2.0f, 3.0f, 4.0f}, {2, 2}), mx::bfloat16);
  auto loss = values(cross_entropy(x, mx::array({0, 1})));
  EXPECT_NEAR(loss[0], std::log1p(std::exp(1.0)), 1e-6);
  EXPECT_NEAR(loss[1], std::log1p(std::exp(-1.0)), 1e-6);
}

TEST(CrossEntropy, CarriesNonFiniteValues) {
  auto x = mx::array(
      {1.0f, NAN, 2.0f, 1.0f, INFINITY, 2.0f, -INFINITY, 0.0f, 0.0f}, {3, 3});
  auto loss = values(cross_entropy(x, mx::array({0, 0, 1})));
  EXPECT_FALSE(std::isfinite(loss[0]));
  EXPECT_FALSE(std::isfinite(loss[1]));
  EXPECT_NEAR(loss[2], std::log(2.0), 1e-6);
}

TEST(CrossEntropy, ReadsTransposedLogits) {
  auto x = mx::random::normal({5, 3}, mx::random::key(1));
  auto targets = mx::array({0, 4, 2});
  auto by_columns = values(cross_entropy(mx::transpose(x), targets));
  auto by_rows =
      values(cross_entropy(mx::contiguous(mx::transpose(x)), targets));
  EXPECT_EQ(by_columns, by_rows);
}

// The gradient takes the memory of logits that nobody reads any more.
TEST(CrossEntropy, LeavesLogitsThatAreStillReadAlone) {
  auto x = mx::random::normal({4, 33}, mx::random::key(2));
  auto before = values(x);
  auto [loss, gradient] = mx::vjp(
      [](const std::vector<mx::array>& p) {
        return std::vector{cross_entropy(p[0], mx::array({1, 2, 3, 4}))};
      },
      {x},
      {mx::ones({4})});
  mx::eval(loss[0], gradient[0]);
  EXPECT_EQ(values(x), before);
}

} // namespace

} // namespace tessera::train
