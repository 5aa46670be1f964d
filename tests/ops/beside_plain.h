#pragma once

#include <gtest/gtest.h>
#include <mlx/mlx.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "tolerance.h"

namespace tessera::test {

namespace mx = mlx::core;

using Arrays = std::vector<mx::array>;
using Function = std::function<Arrays(const Arrays&)>;

inline std::vector<double> doubles(const mx::array& x) {
  mx::array y = mx::contiguous(mx::flatten(mx::astype(x, mx::float64)));
  y.eval();
  return {y.data<double>(), y.data<double>() + y.size()};
}

inline Arrays in_dtype(Arrays arrays, mx::Dtype dtype) {
  for (mx::array& x : arrays) {
    x = mx::astype(x, dtype);
  }
  return arrays;
}

// Results of f, then its gradients by every input.
inline Arrays with_gradients(
    const Function& f, const Arrays& inputs, const Arrays& cotangents) {
  auto [results, gradients] = mx::vjp(f, inputs, cotangents);
  results.insert(results.end(), gradients.begin(), gradients.end());
  return results;
}

inline double largest(const std::vector<double>& x) {
  double most = 0;
  for (double value : x) {
    most = std::max(most, std::abs(value));
  }
  return most;
}

inline double largest_difference(
    const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(a[i] - b[i]));
  }
  return most;
}

// `ours` and the plain formula in float32 against that formula in float64:
// results and gradients by every input, within the tolerance of tolerance.h.
inline void expect_beside_plain(
    const Function& ours,
    const Function& plain,
    const Arrays& inputs,
    const Arrays& cotangents) {
  const auto got = with_gradients(ours, inputs, cotangents);
  const auto rough = with_gradients(plain, inputs, cotangents);
  const auto exact = with_gradients(
      plain, in_dtype(inputs, mx::float64), in_dtype(cotangents, mx::float64));
  ASSERT_EQ(got.size(), exact.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "result " << i);
    ASSERT_EQ(got[i].shape(), exact[i].shape());
    EXPECT_EQ(got[i].dtype(), mx::float32);
    const auto want = doubles(exact[i]);
    const double floor = ulps *
        static_cast<double>(std::numeric_limits<float>::epsilon()) *
        largest(want);
    EXPECT_LE(
        largest_difference(doubles(got[i]), want),
        times_plain_error * largest_difference(doubles(rough[i]), want) +
            floor);
  }
}

inline mx::array normal(mx::Shape shape, std::uint64_t seed, float size = 1) {
  mx::array x = mx::random::normal(
      std::move(shape), mx::float32, 0.0f, size, mx::random::key(seed));
  x.eval();
  return x;
}

} // namespace tessera::test
