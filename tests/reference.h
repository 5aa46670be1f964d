#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "inputs.h"
#include "philox.h"
#include "plan/problem.h"

namespace tessera::test {

struct Outputs {
  Values O, L, dQ, dK, dV, dbias, dslopes, dsinks;
};

// Beside each result, the sum of the absolute terms that it is made of, times
// one plus the largest sum of absolute terms of a score of its row, |scale * q|
// . |k| + |bias| + |slope * distance|: a relative error of eps in the
// intermediate values moves the result by about eps * magnitude.
struct Reference {
  Outputs value;
  Outputs magnitude;
};

// The semantics of attention, written as directly as they can be: a row of
// scores at a time, every sum a plain loop in Real. `round` is applied to each
// intermediate matrix and result; with Real = double and no rounding this is
// the reference that every implementation is held to.
//
// With P the softmax, Z = P * keep / (1 - p) what dropout leaves of it and O =
// Z V, the gradients of a row: dZ = dO V^T, dP = dZ * keep / (1 - p),
//   dS = P * (dP - rowsum(P * dP) + dL),
// since dO/dS gives the first two terms (softmax) and dL/dS = P the last. The
// sink is one more column of S whose dP is 0. dS is the gradient of the bias,
// and of the slopes after a product with -distance; the scaled product, before
// softcap, has dS * (1 - tanh^2).
template <class Real, class Round>
class PlainAttention {
 public:
  PlainAttention(
      const Problem& problem,
      const Scalars& scalars,
      const Inputs& inputs,
      Round round)
      : p_(problem),
        x_(scalars),
        in_(inputs),
        scale_(static_cast<Real>(scalars.scale)),
        round_(round) {}

  Reference run() {
    for (auto* out : {&r_.value, &r_.magnitude}) {
      out->O.assign(size(p_.B, p_.Hq, p_.Nq) * size(p_.Dv), 0);
      out->L.assign(size(p_.B, p_.Hq, p_.Nq), -infinity);
      out->dQ.assign(in_.Q.size(), 0);
      out->dK.assign(in_.K.size(), 0);
      out->dV.assign(in_.V.size(), 0);
      out->dbias.assign(in_.bias.size(), 0);
      out->dslopes.assign(in_.slopes.size(), 0);
      out->dsinks.assign(in_.sinks.size(), 0);
    }
    dbias_.assign(in_.bias.size(), 0);
    dslopes_.assign(in_.slopes.size(), 0);
    dsinks_.assign(in_.sinks.size(), 0);
    for (int b = 0; b < p_.B; ++b) {
      for (int h = 0; h < p_.Hkv; ++h) {
        key_head(b, h);
      }
    }
    store(dbias_, r_.value.dbias, 0);
    store(dslopes_, r_.value.dslopes, 0);
    store(dsinks_, r_.value.dsinks, 0);
    return std::move(r_);
  }

 private:
  using Reals = std::vector<Real>;
  static constexpr double infinity = std::numeric_limits<double>::infinity();

  // A score of the row at hand that is not -inf.
  struct Score {
    int j = 0;
    Real S = 0;     // until the softmax is taken
    Real P = 0;     // from then on
    Real keep = 1;  // of dropout: 0 or 1 / (1 - p)
    Real slope = 1; // of softcap: 1 - tanh^2
    double slope_terms = 1;
    double terms = 0; // absolute terms of S
    Real dP = 0;
    double dP_terms = 0;
  };

  static std::size_t size(int a, int b = 1, int c = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) *
        static_cast<std::size_t>(c);
  }
  Real rounded(Real x) const {
    return static_cast<Real>(round_(x));
  }
  void store(const Reals& from, Values& to, std::size_t first) const {
    for (std::size_t e = 0; e < from.size(); ++e) {
      to[first + e] = round_(from[e]);
    }
  }

  // The queries of every head that reads key head h, which share dK and dV.
  void key_head(int b, int h) {
    k_ = size(b * p_.Hkv + h, p_.Nk);
    dK_.assign(size(p_.Nk, p_.D), 0);
    dV_.assign(size(p_.Nk, p_.Dv), 0);
    for (int g = 0; g < p_.group(); ++g) {
      for (int i = 0; i < p_.Nq; ++i) {
        row(b, h * p_.group() + g, i);
      }
    }
    store(dK_, r_.value.dK, k_ * size(p_.D));
    store(dV_, r_.value.dV, k_ * size(p_.Dv));
  }

  void row(int b, int h, int i) {
    b_ = b;
    h_ = h;
    i_ = i;
    q_ = size(b * p_.Hq + h, p_.Nq) + size(i);
    scores_.clear();
    for (int j = 0; j < p_.Nk; ++j) {
      if (seen(p_, in_, b, h, i, j)) {
        const Score s = score(j);
        if (s.S != -infinity) { // else its P and all that follows are 0
          scores_.push_back(s);
        }
      }
    }
    if (!softmax()) {
      return; // neither key nor sink: O = 0, L = -inf, no gradient
    }
    output();
    gradients();
  }

  // s = scale * q.k; s = c * tanh(s / c); s += bias; s -= slope * |i' - j|.
  Score score(int j) const {
    Score out;
    out.j = j;
    for (int d = 0; d < p_.D; ++d) {
      out.S += static_cast<Real>(Q(d)) * static_cast<Real>(K(j, d));
      out.terms += std::abs(x_.scale * Q(d) * K(j, d));
    }
    out.S = rounded(scale_ * out.S);
    if (p_.features.softcap) {
      const Real c = static_cast<Real>(x_.softcap);
      const Real t = std::tanh(out.S / c);
      out.S = rounded(c * t);
      out.slope = 1 - t * t;
      out.slope_terms = static_cast<double>(1 + t * t);
    }
    if (p_.features.bias) {
      const double bias = in_.bias[bias_index(j)];
      out.S = rounded(out.S + static_cast<Real>(bias));
      out.terms += std::abs(bias);
    }
    if (p_.features.alibi) {
      const double penalty = in_.slopes[slope_index()] * distance(j);
      out.S = rounded(out.S - static_cast<Real>(penalty));
      out.terms += std::abs(penalty);
    }
    if (p_.features.dropout) {
      out.keep = kept(j) ? 1 / (1 - static_cast<Real>(x_.dropout)) : 0;
    }
    return out;
  }

  // L and P of the row; false where it has neither key nor sink.
  bool softmax() {
    const Real sink =
        static_cast<Real>(p_.features.sinks ? in_.sinks[size(h_)] : -infinity);
    Real top = sink;
    largest_ = std::isfinite(sink) ? std::abs(static_cast<double>(sink)) : 0;
    for (const Score& s : scores_) {
      top = std::max(top, s.S);
      largest_ = std::max(largest_, s.terms);
    }
    if (scores_.empty() && sink == -infinity) {
      return false;
    }
    sink_P_ = std::exp(sink - top);
    Real sum = sink_P_;
    for (Score& s : scores_) {
      s.P = std::exp(s.S - top);
      sum += s.P;
    }
    for (Score& s : scores_) {
      s.P = rounded(s.P / sum);
    }
    sink_P_ = rounded(sink_P_ / sum);
    const double L = static_cast<double>(top + std::log(sum));
    r_.value.L[q_] = L;
    r_.magnitude.L[q_] = std::abs(L) + largest_;
    return true;
  }

  void output() {
    for (int d = 0; d < p_.Dv; ++d) {
      Real o = 0;
      double terms = 0;
      for (const Score& s : scores_) {
        const Real Z = rounded(s.P * s.keep);
        o += Z * static_cast<Real>(V(s.j, d));
        terms += std::abs(static_cast<double>(Z) * V(s.j, d));
      }
      r_.value.O[q_ * size(p_.Dv) + size(d)] = round_(o);
      r_.magnitude.O[q_ * size(p_.Dv) + size(d)] = terms * (1 + largest_);
    }
  }

  void gradients() {
    Real dot = 0; // rowsum(P * dP)
    const Real dL = static_cast<Real>(in_.dL[q_]);
    double dot_terms = std::abs(in_.dL[q_]);
    for (Score& s : scores_) {
      probability_gradient(s);
      dot += s.P * s.dP;
      dot_terms += static_cast<double>(s.P) * s.dP_terms;
    }
    dQ_.assign(size(p_.D), 0);
    for (const Score& s : scores_) {
      const Real dS = rounded(s.P * (s.dP - dot + dL));
      const double terms =
          static_cast<double>(s.P) * (s.dP_terms + dot_terms) * (1 + largest_);
      added_gradients(s.j, dS, terms);
      product_gradients(s.j, rounded(dS * s.slope), terms * s.slope_terms);
      value_gradients(s);
    }
    store(dQ_, r_.value.dQ, q_ * size(p_.D));
    if (p_.features.sinks) {
      dsinks_[size(h_)] += sink_P_ * (dL - dot);
      r_.magnitude.dsinks[size(h_)] +=
          static_cast<double>(sink_P_) * dot_terms * (1 + largest_);
    }
  }

  void probability_gradient(Score& s) const {
    for (int d = 0; d < p_.Dv; ++d) {
      s.dP += static_cast<Real>(dO(d)) * static_cast<Real>(V(s.j, d));
      s.dP_terms += std::abs(dO(d) * V(s.j, d));
    }
    s.dP = rounded(rounded(s.dP) * s.keep);
    s.dP_terms *= static_cast<double>(s.keep);
  }

  // Of what is added to the product: the bias and the slope.
  void added_gradients(int j, Real dS, double terms) {
    if (p_.features.bias) {
      dbias_[bias_index(j)] += dS;
      r_.magnitude.dbias[bias_index(j)] += terms;
    }
    if (p_.features.alibi) {
      dslopes_[slope_index()] -= dS * static_cast<Real>(distance(j));
      r_.magnitude.dslopes[slope_index()] += terms * distance(j);
    }
  }

  void product_gradients(int j, Real dS, double terms) {
    const double scaled_terms = std::abs(x_.scale) * terms;
    for (int d = 0; d < p_.D; ++d) {
      dQ_[size(d)] += scale_ * dS * static_cast<Real>(K(j, d));
      r_.magnitude.dQ[q_ * size(p_.D) + size(d)] +=
          std::abs(K(j, d)) * scaled_terms;
      dK_[size(j, p_.D) + size(d)] += scale_ * dS * static_cast<Real>(Q(d));
      r_.magnitude.dK[(k_ + size(j)) * size(p_.D) + size(d)] +=
          std::abs(Q(d)) * scaled_terms;
    }
  }

  void value_gradients(const Score& s) {
    const Real Z = rounded(s.P * s.keep);
    for (int d = 0; d < p_.Dv; ++d) {
      dV_[size(s.j, p_.Dv) + size(d)] += Z * static_cast<Real>(dO(d));
      r_.magnitude.dV[(k_ + size(s.j)) * size(p_.Dv) + size(d)] +=
          std::abs(static_cast<double>(Z) * dO(d)) * (1 + largest_);
    }
  }

  // Key = seed, counter (j div 4, i, b * Hq + h, 0), word j mod 4.
  bool kept(int j) const {
    const auto word = [](auto x) {
      return static_cast<std::uint32_t>(x);
    };
    const auto random = philox(
        {word(j / 4), word(i_), word(b_ * p_.Hq + h_), 0},
        {word(in_.seed), word(in_.seed >> 32)});
    return random[size(j % 4)] >= std::floor(x_.dropout * 0x1p32);
  }

  double distance(int j) const {
    return std::abs(i_ + p_.Nk - p_.Nq - j);
  }
  std::size_t bias_index(int j) const {
    return broadcast_index(in_.bias_shape, {b_, h_, i_, j});
  }
  std::size_t slope_index() const {
    return broadcast_index(in_.slopes_shape, {b_, h_, 0, 0});
  }
  double Q(int d) const {
    return in_.Q[q_ * size(p_.D) + size(d)];
  }
  double K(int j, int d) const {
    return in_.K[(k_ + size(j)) * size(p_.D) + size(d)];
  }
  double V(int j, int d) const {
    return in_.V[(k_ + size(j)) * size(p_.Dv) + size(d)];
  }
  double dO(int d) const {
    return in_.dO[q_ * size(p_.Dv) + size(d)];
  }

  Problem p_;
  Scalars x_;
  const Inputs& in_;
  Real scale_;
  Round round_;
  Reference r_;
  Reals dbias_, dslopes_, dsinks_;
  // Of the key head at hand.
  std::size_t k_ = 0; // its first key
  Reals dK_, dV_;
  // Of the row at hand.
  int b_ = 0, h_ = 0, i_ = 0;
  std::size_t q_ = 0; // among all rows
  std::vector<Score> scores_;
  Reals dQ_;
  Real sink_P_ = 0;
  double largest_ = 0; // absolute terms of a score
};

// THE reference.
inline Reference reference(
    const Problem& problem, const Scalars& scalars, const Inputs& inputs) {
  const auto exact = [](double x) {
    return x;
  };
  return PlainAttention<double, decltype(exact)>(
             problem, scalars, inputs, exact)
      .run();
}

} // namespace tessera::test
