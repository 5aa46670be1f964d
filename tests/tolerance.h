#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "dtype.h"
#include "reference.h"

// The one definition of "near enough". A result may be off by twice the largest
// error that the plain formula makes in the same dtype (scores, probabilities,
// gradients and results rounded to it, sums in float32), plus two ulp of its
// own magnitude, for where the plain formula happens to be exact.
namespace tessera::test {

constexpr double times_plain_error = 2;
constexpr double ulps = 2;

struct Expected {
  Reference exact;
  Outputs plain;
  Dtype dtype;
};

inline Expected expect(
    const Problem& problem, double scale, const Inputs& inputs) {
  const auto round = [dtype = problem.dtype](auto x) {
    return rounded(static_cast<double>(x), dtype);
  };
  return {
      reference(problem, scale, inputs),
      PlainAttention<float, decltype(round)>(problem, scale, inputs, round)
          .run()
          .value,
      problem.dtype};
}

inline bool same_special(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || a == b;
}

// "" where every value of one result is near enough, else what is wrong.
inline std::string difference(
    const Expected& expected, const Values& got, Values Outputs::*which) {
  const Values& exact = expected.exact.value.*which;
  const Values& magnitude = expected.exact.magnitude.*which;
  const Values& plain = expected.plain.*which;
  if (got.size() != exact.size()) {
    return fmt::format("expected {} values; got {}", exact.size(), got.size());
  }
  double plain_error = 0;
  for (std::size_t e = 0; e < exact.size(); ++e) {
    if (std::isfinite(exact[e]) && std::isfinite(plain[e])) {
      plain_error = std::max(plain_error, std::abs(plain[e] - exact[e]));
    }
  }
  const Dtype dtype = which == &Outputs::L ? Dtype::float32 : expected.dtype;
  for (std::size_t e = 0; e < exact.size(); ++e) {
    const double tolerance =
        times_plain_error * plain_error + ulps * epsilon(dtype) * magnitude[e];
    if (same_special(got[e], exact[e]) ||
        std::abs(got[e] - exact[e]) <= tolerance) {
      continue;
    }
    return fmt::format(
        "expected {} at {}; got {} (off by {:.3g}, tolerance {:.3g}, of which "
        "plain error {:.3g})",
        exact[e],
        e,
        got[e],
        std::abs(got[e] - exact[e]),
        tolerance,
        times_plain_error * plain_error);
  }
  return "";
}

// All of `which` at once, each difference with its name.
inline std::string difference(const Expected& expected, const Outputs& got) {
  std::string text;
  const std::pair<const char*, Values Outputs::*> results[] = {
      {"O", &Outputs::O},
      {"L", &Outputs::L},
      {"dQ", &Outputs::dQ},
      {"dK", &Outputs::dK},
      {"dV", &Outputs::dV}};
  for (const auto& [name, which] : results) {
    const auto one = difference(expected, got.*which, which);
    if (!one.empty()) {
      text += fmt::format("{}: {}\n", name, one);
    }
  }
  return text;
}

} // namespace tessera::test
