#include "check/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "check/plain.h"

namespace tessera::cases {

namespace {

constexpr double times_plain_error = 2;
constexpr double ulps = 2;
// A float64 array of scores takes 8 bytes of each, and several live at once.
constexpr double most_scores = 1 << 23;

double epsilon(mx::Dtype dtype) {
  return dtype == mx::float32 ? 0x1p-23
      : dtype == mx::float16  ? 0x1p-10
                              : 0x1p-7;
}

// MLX knows float64 on the CPU alone.
const mx::StreamOrDevice cpu = mx::Device(mx::Device::cpu);

std::vector<int> some_rows(const AttentionCase& c) {
  const double row = static_cast<double>(c.B) * c.Hq * c.Nk;
  const int count =
      std::min(c.Nq, std::max(2, static_cast<int>(most_scores / row)));
  const auto last = std::int64_t{c.Nq} - 1;
  std::vector<int> rows;
  for (int i = 0; i < count; ++i) {
    rows.push_back(count < 2 ? 0 : static_cast<int>(last * i / (count - 1)));
  }
  return rows;
}

// [Nq, 1]: 1 at `rows`, else 0.
mx::array indicator(const AttentionCase& c, const std::vector<int>& rows) {
  std::vector<float> values(static_cast<std::size_t>(c.Nq), 0.0f);
  for (const int row : rows) {
    values[static_cast<std::size_t>(row)] = 1.0f;
  }
  return mx::array(values.data(), {c.Nq, 1});
}

double largest(const mx::array& x) {
  auto value = mx::max(mx::abs(mx::astype(x, mx::float64, cpu), cpu), cpu);
  return value.item<double>();
}

// As tests/tolerance.h has it, of the largest value of each result; `sums` is
// an ulp of the absolute terms: a product over 512 keys has rounding of its
// own, whatever the plain one's happens to be.
double error_in_tolerances(
    const mx::array& got,
    const mx::array& exact,
    const mx::array& plain,
    double sums) {
  const auto none = mx::zeros_like(exact, cpu);
  const auto off = [&](const mx::array& x) {
    const auto real = mx::astype(x, mx::float64, cpu);
    // A row that sees no key has L = -inf in both.
    return largest(mx::where(
        mx::equal(real, exact, cpu),
        none,
        mx::subtract(real, exact, cpu),
        cpu));
  };
  const auto finite = mx::where(mx::isinf(exact, cpu), none, exact, cpu);
  const double tolerance = times_plain_error * off(plain) +
      ulps * (epsilon(got.dtype()) * largest(finite) + sums);
  const double error = off(got);
  if (std::isnan(error)) {
    return std::numeric_limits<double>::infinity();
  }
  return error == 0 ? 0 : error / tolerance;
}

// The names of Arrays::differentiated()'s gradients.
std::vector<std::string> gradient_names(const Arrays& arrays) {
  std::vector<std::string> names = {"dQ", "dK", "dV"};
  const auto& o = arrays.options;
  for (const auto& [has, name] :
       {std::pair(o.bias.has_value(), "dbias"),
        std::pair(o.alibi.has_value(), "dslopes"),
        std::pair(o.sinks.has_value(), "dsinks")}) {
    if (has) {
      names.push_back(name);
    }
  }
  return names;
}

std::vector<ResultError> errors_of(
    const Arrays& arrays,
    const Values& got,
    const std::vector<int>& rows,
    bool backward) {
  const mx::array index(rows.data(), {static_cast<int>(rows.size())});
  const auto dO = mx::take(arrays.dO, index, 2, cpu);
  const auto exact =
      plain_attention(arrays, rows, dO, Precision::exact, backward);
  const auto plain =
      plain_attention(arrays, rows, dO, Precision::plain, backward);
  const auto terms = magnitudes(arrays, rows, dO, backward);
  const auto sums = [](mx::Dtype dtype, const mx::array& x) {
    return epsilon(dtype) * largest(x);
  };
  const auto names = gradient_names(arrays);
  std::vector<ResultError> errors = {
      {"O",
       error_in_tolerances(
           mx::take(got.O, index, 2, cpu),
           exact.O,
           plain.O,
           sums(mx::float32, terms.O))}};
  if (got.L) {
    errors.push_back(
        {"L",
         error_in_tolerances(
             mx::take(*got.L, index, 2, cpu),
             exact.L,
             plain.L,
             sums(mx::float32, terms.L))});
  }
  for (std::size_t i = 0; i < got.gradients.size(); ++i) {
    const auto& gradient = got.gradients[i];
    // Bias, slopes and sinks sum what is rounded to the dtype; the others are
    // sums in float32.
    const auto summed = i >= 3 ? arrays.attention.dtype : mx::float32;
    errors.push_back(
        {names[i],
         error_in_tolerances(
             i == 0 ? mx::take(gradient, index, 2, cpu) : gradient,
             exact.gradients[i],
             plain.gradients[i],
             sums(summed, terms.gradients[i]))});
  }
  return errors;
}

} // namespace

std::vector<ResultError> errors_of(
    const Arrays& arrays, const ValuesFor& values, bool backward) {
  const auto rows = some_rows(arrays.attention);
  const auto dO = mx::astype(
      mx::multiply(arrays.dO, indicator(arrays.attention, rows), cpu),
      arrays.dO.dtype(),
      cpu);
  const auto got = values(dO);
  if (!got) {
    return {};
  }
  auto all = got->gradients;
  all.push_back(got->O);
  mx::eval(all);
  return errors_of(arrays, *got, rows, backward);
}

double worst(const std::vector<ResultError>& errors) {
  double worst = 0;
  for (const auto& one : errors) {
    worst = std::max(worst, one.error);
  }
  return worst;
}

std::string wrong(const std::vector<ResultError>& errors) {
  std::string text;
  for (const auto& [name, error] : errors) {
    if (!(error <= 1)) { // NaN is not right
      text += fmt::format(
          "{}{} off by {:.3g} times the tolerance",
          text.empty() ? "" : ", ",
          name,
          error);
    }
  }
  return text;
}

} // namespace tessera::cases
