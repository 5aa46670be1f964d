#pragma once

#include "api/plain.h"

// A call with any features, what the library makes of it, and what is wrong
// with that.
namespace tessera::test {

struct FeatureCall {
  Problem problem; // shapes
  Arrays x;
  AttentionOptions options;

  mx::array dO() const {
    const auto& p = problem;
    return normal({p.B, p.Hq, p.Nq, p.Dv}, 101, x.Q.dtype());
  }
  mx::array dL() const {
    return normal({problem.B, problem.Hq, problem.Nq}, 102);
  }
  std::vector<mx::array> arguments() const {
    return differentiable(x, options);
  }
  // Of results, in their order.
  std::vector<std::string> names() const {
    std::vector<std::string> names = {"O", "L", "dQ", "dK", "dV"};
    const std::pair<bool, const char*> more[] = {
        {options.bias.has_value(), "dbias"},
        {options.alibi.has_value(), "dslopes"},
        {options.sinks.has_value(), "dsinks"}};
    for (const auto& [there, name] : more) {
      if (there) {
        names.push_back(name);
      }
    }
    return names;
  }
};

// O, L and the gradients of sum(O * dO) + sum(L * dL) by every argument.
inline std::vector<mx::array> outcome(const FeatureCall& call) {
  auto [values, gradients] = mx::vjp(
      [&](const std::vector<mx::array>& in) {
        const auto out = attention_with_logsumexp(
            in[0], in[1], in[2], with(call.options, in));
        return std::vector<mx::array>{out.O, out.L};
      },
      call.arguments(),
      {call.dO(), call.dL()});
  values.insert(values.end(), gradients.begin(), gradients.end());
  return values;
}

inline std::vector<mx::array> as_type(
    std::vector<mx::array> list, mx::Dtype dtype) {
  for (auto& x : list) {
    x = mx::astype(x, dtype);
  }
  return list;
}

// The same by plain operations in `dtype`.
inline std::vector<mx::array> plain_results(
    const FeatureCall& call, mx::Dtype dtype, const Round& round) {
  auto [values, gradients] = mx::vjp(
      [&](const std::vector<mx::array>& in) {
        const auto out = plain_attention(call.problem, in, call.options, round);
        return std::vector<mx::array>{out.O, out.L};
      },
      as_type(call.arguments(), dtype),
      as_type({call.dO(), call.dL()}, dtype));
  values.insert(values.end(), gradients.begin(), gradients.end());
  return values;
}

inline Round exact() {
  return [](const mx::array& x) {
    return x;
  };
}

inline Round rounded_to(mx::Dtype dtype) {
  return [dtype](const mx::array& x) {
    return mx::astype(mx::astype(x, dtype), x.dtype());
  };
}

// For each result the sum of the absolute terms that it is made of, times one
// plus the largest term of a score; see Reference in reference.h. What the
// scores are made of is linear in each argument, so the terms of its gradient
// come from vjp through absolute values.
inline std::vector<mx::array> magnitudes(const FeatureCall& call) {
  const auto& p = call.problem;
  const auto in = as_type(call.arguments(), mx::float64);
  const auto out = plain_attention(p, in, call.options, exact());
  std::vector<mx::array> absolute;
  for (const auto& x : in) {
    absolute.push_back(mx::abs(x));
  }
  const auto scores = [&](const std::vector<mx::array>& a) {
    const auto o = with(call.options, a);
    auto S = plain_products(p, a[0], a[1], std::abs(scale_of(p, o)));
    if (o.bias) {
      S = S + *o.bias;
    }
    if (o.alibi) {
      S = S + per_head(*o.alibi) * mx::astype(distances(p), mx::float64);
    }
    return std::vector<mx::array>{S};
  };
  const auto largest = mx::max(scores(absolute)[0]);
  const auto grow = largest + mx::array(1.0f, mx::float64);
  const auto weights = out.P * out.factors;
  const auto values = [&](const std::vector<mx::array>& a) {
    return std::vector<mx::array>{
        mx::matmul(weights, mx::repeat(a[0], p.group(), 1)) * grow};
  };
  const auto dO = mx::abs(mx::astype(call.dO(), mx::float64));
  const auto dL = mx::abs(mx::astype(call.dL(), mx::float64));
  const auto [O, dV] = mx::vjp(values, {absolute[2]}, {dO});
  const auto V = mx::repeat(absolute[2], p.group(), 1);
  const auto dP = mx::matmul(dO, mx::swapaxes(V, 2, 3)) * out.factors;
  const auto dot = mx::sum(out.P * dP, 3, true) + mx::expand_dims(dL, 3);
  auto all = mx::vjp(scores, absolute, {out.P * (dP + dot) * grow}).second;
  all[2] = dV[0];
  if (call.options.sinks) {
    const auto sink = mx::array(1.0f, mx::float64) - mx::sum(out.P, 3, true);
    all.back() = mx::sum(sink * dot * grow, {0, 2, 3});
  }
  all.insert(all.begin(), {O[0], mx::abs(out.L) + largest});
  return all;
}

inline Values doubles_of(const mx::array& x) {
  auto y = mx::contiguous(mx::astype(x, mx::float64));
  y.eval();
  return Values(y.data<double>(), y.data<double>() + y.size());
}

inline double epsilon_of(mx::Dtype dtype) {
  return epsilon(
      dtype == mx::float16        ? Dtype::float16
          : dtype == mx::bfloat16 ? Dtype::bfloat16
                                  : Dtype::float32);
}

// "" where `got` is near enough to `exact` everywhere: the rule of tolerance.h.
inline std::string too_far(
    const Values& got,
    const Values& exact,
    const Values& plain,
    const Values& magnitude,
    double epsilon) {
  if (got.size() != exact.size()) {
    return fmt::format("expected {} values; got {}", exact.size(), got.size());
  }
  double plain_error = 0;
  for (std::size_t e = 0; e < exact.size(); ++e) {
    if (std::isfinite(exact[e]) && std::isfinite(plain[e])) {
      plain_error = std::max(plain_error, std::abs(plain[e] - exact[e]));
    }
  }
  for (std::size_t e = 0; e < exact.size(); ++e) {
    const double tolerance =
        times_plain_error * plain_error + ulps * epsilon * magnitude[e];
    if (!same_special(got[e], exact[e]) &&
        !(std::abs(got[e] - exact[e]) <= tolerance)) {
      return fmt::format(
          "expected {} at {}; got {} (tolerance {:.3g})",
          exact[e],
          e,
          got[e],
          tolerance);
    }
  }
  return "";
}

// "" where every result of the library is near enough, else what is wrong.
inline std::string wrong(
    const FeatureCall& call, const std::vector<mx::array>& got) {
  const auto dtype = call.x.Q.dtype();
  const auto exactly = plain_results(call, mx::float64, exact());
  const auto plainly = plain_results(call, mx::float32, rounded_to(dtype));
  const auto magnitude = magnitudes(call);
  const auto names = call.names();
  std::string text;
  for (std::size_t k = 0; k < names.size(); ++k) {
    if (got[k].shape() != exactly[k].shape()) {
      text += names[k] + " has another shape\n";
      continue;
    }
    // L alone is float32 whatever the inputs are.
    const double coarsest = names[k] == "L"
        ? epsilon_of(mx::float32)
        : std::max(epsilon_of(got[k].dtype()), epsilon_of(dtype));
    const auto one = too_far(
        doubles_of(got[k]),
        doubles_of(exactly[k]),
        doubles_of(mx::astype(plainly[k], got[k].dtype())),
        doubles_of(magnitude[k]),
        coarsest);
    if (!one.empty()) {
      text += names[k] + ": " + one + "\n";
    }
  }
  return text;
}

} // namespace tessera::test
