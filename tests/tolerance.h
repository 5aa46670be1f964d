#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "dtype.h"
#include "kernel/operand.h"
#include "reference.h"

// The one definition of "near enough". A result may be off by twice the largest
// error that the plain formula makes in the same dtype (scores, probabilities,
// gradients and results rounded to it, sums in float32), plus two ulp of its
// own magnitude, for where the plain formula happens to be exact.
namespace tessera::test {

constexpr double times_plain_error = 2;
constexpr double ulps = 2;

struct Result {
  Operand operand;
  Values Outputs::*values;
};

constexpr Result results[] = {
    {Operand::O, &Outputs::O},
    {Operand::L, &Outputs::L},
    {Operand::dQ, &Outputs::dQ},
    {Operand::dK, &Outputs::dK},
    {Operand::dV, &Outputs::dV},
    {Operand::dbias, &Outputs::dbias},
    {Operand::dslopes, &Outputs::dslopes},
    {Operand::dsinks, &Outputs::dsinks}};

struct Expected {
  Reference exact;
  Outputs plain;
  Dtype dtype, bias_dtype, slopes_dtype, sinks_dtype;

  // What a result is stored in.
  Dtype stored(Values Outputs::*which) const {
    return which == &Outputs::L      ? Dtype::float32
        : which == &Outputs::dbias   ? bias_dtype
        : which == &Outputs::dslopes ? slopes_dtype
        : which == &Outputs::dsinks  ? sinks_dtype
                                     : dtype;
  }
  // Two ulp of the terms of a value in the dtype that it is computed in, or of
  // the value itself in the dtype that it is stored in, where that is more.
  double ulp_part(
      Values Outputs::*which, double exact, double magnitude) const {
    const Dtype computed = which == &Outputs::L ? Dtype::float32 : dtype;
    return ulps *
        std::max(epsilon(computed) * magnitude, ulp(exact, stored(which)));
  }
};

inline void round_all(Values& values, Dtype dtype) {
  for (double& x : values) {
    x = rounded(x, dtype);
  }
}

// The plain formula's results, those of a dtype of their own rounded to it.
inline Outputs plain(
    const Problem& problem, const Scalars& scalars, const Inputs& in) {
  const auto round = [dtype = problem.dtype](auto x) {
    return rounded(static_cast<double>(x), dtype);
  };
  auto out = PlainAttention<float, decltype(round)>(problem, scalars, in, round)
                 .run()
                 .value;
  round_all(out.dbias, in.bias_dtype);
  round_all(out.dslopes, in.slopes_dtype);
  round_all(out.dsinks, in.sinks_dtype);
  return out;
}

inline Expected expect(
    const Problem& problem, const Scalars& scalars, const Inputs& inputs) {
  return {
      reference(problem, scalars, inputs),
      plain(problem, scalars, inputs),
      problem.dtype,
      inputs.bias_dtype,
      inputs.slopes_dtype,
      inputs.sinks_dtype};
}

inline bool same_special(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || a == b;
}

inline double largest_error(const Values& exact, const Values& got) {
  double error = 0;
  for (std::size_t e = 0; e < exact.size(); ++e) {
    if (std::isfinite(exact[e]) && std::isfinite(got[e])) {
      error = std::max(error, std::abs(got[e] - exact[e]));
    }
  }
  return error;
}

inline bool near_enough(
    double got, double exact, double tolerance, Dtype stored) {
  const bool overflows = std::abs(exact) + tolerance > format(stored).largest;
  return same_special(got, exact) || std::abs(got - exact) <= tolerance ||
      (overflows && got == std::copysign(INFINITY, exact));
}

// "" where every value of one result is near enough, else what is wrong.
inline std::string difference(
    const Expected& expected, const Values& got, Values Outputs::*which) {
  const Values& exact = expected.exact.value.*which;
  const Values& magnitude = expected.exact.magnitude.*which;
  if (got.size() != exact.size()) {
    return fmt::format("expected {} values; got {}", exact.size(), got.size());
  }
  const double plain_part =
      times_plain_error * largest_error(exact, expected.plain.*which);
  for (std::size_t e = 0; e < exact.size(); ++e) {
    const double tolerance =
        plain_part + expected.ulp_part(which, exact[e], magnitude[e]);
    if (!near_enough(got[e], exact[e], tolerance, expected.stored(which))) {
      return fmt::format(
          "expected {} at {}; got {} (off by {:.3g}, tolerance {:.3g}, of "
          "which plain error {:.3g})",
          exact[e],
          e,
          got[e],
          std::abs(got[e] - exact[e]),
          tolerance,
          plain_part);
    }
  }
  return "";
}

// All results at once, each difference with its name.
inline std::string difference(const Expected& expected, const Outputs& got) {
  std::string text;
  for (const auto& [operand, values] : results) {
    const auto one = difference(expected, got.*values, values);
    if (!one.empty()) {
      text += fmt::format("{}: {}\n", name(operand), one);
    }
  }
  return text;
}

} // namespace tessera::test
