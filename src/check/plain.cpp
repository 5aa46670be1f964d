#include "check/plain.h"

#include <cmath>
#include <limits>

#include "check/differentiate.h"
#include "check/philox.h"

namespace tessera::cases {

namespace {

// MLX knows float64 on the CPU alone.
const mx::StreamOrDevice cpu = mx::Device(mx::Device::cpu);

// true where dropout keeps the probability; [B, Hq, rows, Nk].
mx::array dropout_keeps(const AttentionCase& c, const std::vector<int>& rows) {
  const auto seed = 7u; // as random_arrays gives it
  const auto least =
      static_cast<std::uint64_t>(std::floor(c.dropout * 4294967296.0));
  std::vector<std::uint8_t> keep;
  for (int head = 0; head < c.B * c.Hq; ++head) {
    for (const int row : rows) {
      for (int j = 0; j < c.Nk; ++j) {
        const auto words = philox(
            {static_cast<std::uint32_t>(j / 4),
             static_cast<std::uint32_t>(row),
             static_cast<std::uint32_t>(head),
             0},
            {seed, 0});
        keep.push_back(words[static_cast<std::size_t>(j % 4)] >= least);
      }
    }
  }
  return mx::array(
      keep.begin(),
      {c.B, c.Hq, static_cast<int>(rows.size()), c.Nk},
      mx::bool_);
}

class Plain {
 public:
  Plain(const Arrays& arrays, const std::vector<int>& rows, Precision precision)
      : a_(arrays),
        c_(arrays.attention),
        real_(precision == Precision::exact ? mx::float64 : mx::float32),
        rounded_(precision == Precision::exact ? mx::float64 : c_.dtype),
        rows_(rows.data(), {static_cast<int>(rows.size())}),
        seen_(all_heads(seen_by(c_, rows))),
        distances_(all_heads(real(distances(c_, rows)))),
        keeps_(
            c_.dropout > 0 ? grouped(dropout_keeps(c_, rows))
                           : mx::array(true)) {
    if (const auto keep = kept(arrays)) {
      seen_ = mx::logical_and(seen_, by_row(*keep), cpu);
    }
  }

  // What differentiate() takes: Q of the rows alone.
  Arrays inputs() const {
    auto inputs = a_.differentiated();
    inputs[0] = mx::take(inputs[0], rows_, 2, cpu);
    for (auto& x : inputs) {
      x = real(x);
    }
    return a_.with(inputs);
  }

  mx::array O(const Arrays& a) const {
    return O(a, scores(a));
  }
  mx::array O(const Arrays& a, const mx::array& S) const {
    const auto [P, m, l] = softmax(a, S);
    const auto one = mx::ones_like(l, cpu);
    const auto sees_none = mx::equal(l, mx::array(0.0f, real_), cpu);
    auto share = rounded(mx::divide(P, mx::where(sees_none, one, l, cpu), cpu));
    if (c_.dropout > 0) {
      share = rounded(mx::multiply(
          mx::where(keeps_, share, mx::zeros_like(share, cpu), cpu),
          mx::array(1.0f / (1.0f - c_.dropout), real_),
          cpu));
    }
    const auto V = mx::expand_dims(a.V, 2, cpu);
    return rounded(mx::flatten(mx::matmul(share, V, cpu), 1, 2, cpu));
  }

  // -inf for a row that sees nothing.
  mx::array L(const Arrays& a) const {
    const auto [P, m, l] = softmax(a, scores(a));
    const auto rows = mx::add(m, mx::log(l, cpu), cpu);
    return mx::flatten(mx::squeeze(rows, -1, cpu), 1, 2, cpu);
  }
  // The largest sum of |terms| of a score of each row.
  mx::array L_terms(const Arrays& a) const {
    return mx::flatten(mx::max(score_terms(a), -1, false, cpu), 1, 2, cpu);
  }

  // The sum of |terms| of each dS = P * (dP - rowsum(P * dP)), whose rounding
  // stays where the two cancel; those of a score move P.
  mx::array dS_terms(const Arrays& a, const mx::array& dO) const {
    const auto [P, m, l] = softmax(a, scores(a));
    const auto none = mx::zeros_like(P, cpu);
    const auto share = mx::where(
        mx::equal(l, mx::array(0.0f, real_), cpu),
        none,
        mx::divide(P, l, cpu),
        cpu);
    auto dP = product(mx::abs(dO, cpu), mx::abs(a.V, cpu));
    if (c_.dropout > 0) {
      dP = mx::multiply(
          mx::where(keeps_, dP, none, cpu),
          mx::array(1.0f / (1.0f - c_.dropout), real_),
          cpu);
    }
    const auto sum = mx::sum(mx::multiply(share, dP, cpu), -1, true, cpu);
    const auto moved = mx::add(
        mx::array(1.0f, real_), mx::max(score_terms(a), -1, true, cpu), cpu);
    return mx::multiply(
        mx::multiply(share, moved, cpu), mx::add(dP, sum, cpu), cpu);
  }

  // Sums of |terms| where those of dS are `weights`: of all
  // gradients but those of V and the sinks, which `gradients` has already.
  void set_magnitudes(
      const Arrays& a,
      const mx::array& weights,
      std::vector<mx::array>& gradients) const {
    const auto absolute = mx::abs(distances_, cpu);
    const auto linear = [&](const std::vector<mx::array>& inputs) {
      const auto x = a.with(inputs);
      auto S = product(x.Q, mx::stop_gradient(mx::abs(a.K, cpu), cpu));
      S = mx::add(
          S, product(mx::stop_gradient(mx::abs(a.Q, cpu), cpu), x.K), cpu);
      S = mx::multiply(S, scale(), cpu);
      if (x.options.bias) {
        S = mx::add(S, by_row(*x.options.bias), cpu);
      }
      if (x.options.alibi) {
        S = mx::add(S, mx::multiply(slopes(x), absolute, cpu), cpu);
      }
      return std::vector<mx::array>{S};
    };
    const auto found = mx::vjp(linear, a.differentiated(), {weights}).second;
    const std::size_t sinks = a.options.sinks ? found.size() - 1 : found.size();
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (i != 2 && (i < 3 || i != sinks)) {
        gradients[i] = found[i];
      }
    }
  }

 private:
  mx::array score_terms(const Arrays& a) const {
    auto S = mx::multiply(
        product(mx::abs(a.Q, cpu), mx::abs(a.K, cpu)), scale(), cpu);
    if (a.options.bias) {
      S = mx::add(S, mx::abs(by_row(real(*a.options.bias)), cpu), cpu);
    }
    if (a.options.alibi) {
      S = mx::subtract(S, mx::multiply(slopes(a), distances_, cpu), cpu);
    }
    return S;
  }
  // exp(S - m), the row's largest score, and the denominator.
  struct Softmax {
    mx::array P;
    mx::array m;
    mx::array l;
  };
  Softmax softmax(const Arrays& a, const mx::array& S) const {
    const auto floor = mx::array(-std::numeric_limits<float>::max(), real_);
    auto m = mx::max(S, -1, true, cpu);
    if (a.options.sinks) {
      m = mx::maximum(m, sinks(a), cpu);
    }
    // A row may see nothing.
    m = mx::stop_gradient(mx::maximum(m, floor, cpu), cpu);
    const auto P = mx::exp(mx::subtract(S, m, cpu), cpu);
    auto l = mx::sum(P, -1, true, cpu);
    if (a.options.sinks) {
      l = mx::add(l, mx::exp(mx::subtract(sinks(a), m, cpu), cpu), cpu);
    }
    return {P, m, l};
  }
  mx::array scale() const {
    return mx::array(1.0f / std::sqrt(static_cast<float>(c_.D)), real_);
  }
  mx::array product(const mx::array& Q, const mx::array& K) const {
    return mx::matmul(
        grouped(Q), mx::swapaxes(mx::expand_dims(K, 2, cpu), -1, -2, cpu), cpu);
  }
  mx::array scores(const Arrays& a) const {
    auto S = mx::multiply(product(a.Q, a.K), scale(), cpu);
    S = rounded(S);
    if (c_.softcap) {
      const auto cap = mx::array(*c_.softcap, real_);
      S = rounded(
          mx::multiply(cap, mx::tanh(mx::divide(S, cap, cpu), cpu), cpu));
    }
    if (a.options.bias) {
      S = rounded(mx::add(S, by_row(real(*a.options.bias)), cpu));
    }
    if (a.options.alibi) {
      S = rounded(mx::add(S, mx::multiply(slopes(a), distances_, cpu), cpu));
    }
    return mx::where(
        seen_,
        S,
        mx::array(-std::numeric_limits<float>::infinity(), real_),
        cpu);
  }

  // [B, Hq, n, m] as [B, Hkv, heads of a group, n, m], without a copy.
  mx::array grouped(const mx::array& x) const {
    const int heads = x.shape(1) == 1 ? 1 : c_.Hkv;
    return mx::unflatten(x, 1, {heads, x.shape(1) / heads}, cpu);
  }
  mx::array all_heads(const mx::array& x) const {
    return mx::reshape(x, {1, 1, 1, x.shape(0), x.shape(1)}, cpu);
  }
  // The rows of what is broadcastable to [B, Hq, Nq, Nk].
  mx::array by_row(mx::array x) const {
    auto shape = x.shape();
    shape.insert(shape.begin(), 4 - shape.size(), 1);
    x = mx::reshape(x, shape, cpu);
    return grouped(shape[2] == 1 ? x : mx::take(x, rows_, 2, cpu));
  }
  mx::array slopes(const Arrays& a) const {
    return mx::reshape(
        real(*a.options.alibi), {1, c_.Hkv, c_.Hq / c_.Hkv, 1, 1}, cpu);
  }
  mx::array sinks(const Arrays& a) const {
    return mx::reshape(
        real(*a.options.sinks), {1, c_.Hkv, c_.Hq / c_.Hkv, 1, 1}, cpu);
  }
  mx::array real(const mx::array& x) const {
    return mx::astype(x, real_, cpu);
  }
  mx::array rounded(const mx::array& x) const {
    return rounded_ == real_
        ? x
        : mx::astype(mx::astype(x, rounded_, cpu), real_, cpu);
  }

  const Arrays& a_;
  const AttentionCase& c_;
  mx::Dtype real_;
  mx::Dtype rounded_;
  mx::array rows_;
  mx::array seen_;
  mx::array distances_;
  mx::array keeps_;
};

} // namespace

PlainResult plain_attention(
    const Arrays& arrays,
    const std::vector<int>& rows,
    const mx::array& dO,
    Precision precision,
    bool backward) {
  const Plain plain(arrays, rows, precision);
  const auto function = [&](const Arrays& a) {
    return plain.O(a);
  };
  const auto inputs = plain.inputs();
  if (!backward) {
    return {function(inputs), plain.L(inputs), {}};
  }
  const auto dtype = precision == Precision::exact ? mx::float64 : mx::float32;
  auto [O, gradients, none] =
      differentiate(inputs, function, mx::astype(dO, dtype, cpu));
  if (precision == Precision::plain) {
    for (auto& gradient : gradients) {
      gradient = mx::astype(gradient, arrays.Q.dtype(), cpu);
    }
  }
  return {O, plain.L(inputs), gradients};
}

PlainResult magnitudes(
    const Arrays& arrays,
    const std::vector<int>& rows,
    const mx::array& dO,
    bool backward) {
  const Plain plain(arrays, rows, Precision::exact);
  const auto inputs = plain.inputs();
  auto values = inputs.differentiated();
  values[2] = mx::abs(values[2], cpu);
  const auto positive = inputs.with(values);
  const auto L = plain.L_terms(inputs);
  // What a score's rounding makes of its probability.
  const auto moved =
      mx::add(mx::array(1.0f, mx::float64), mx::expand_dims(L, -1, cpu), cpu);
  if (!backward) {
    return {mx::multiply(plain.O(positive), moved, cpu), L, {}};
  }
  const auto exact_dO = mx::astype(dO, mx::float64, cpu);
  auto [O, gradients, none] = differentiate(
      positive,
      [&](const Arrays& a) { return plain.O(a); },
      mx::multiply(mx::abs(exact_dO, cpu), moved, cpu));
  plain.set_magnitudes(inputs, plain.dS_terms(inputs, exact_dO), gradients);
  return {mx::multiply(O, moved, cpu), L, gradients};
}

} // namespace tessera::cases
