#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "plan/problem.h"

namespace tessera::test {

using Values = std::vector<double>;

// Row-major, in the shapes of the semantics: Q [B, Hq, Nq, D], dL [B, Hq,
// Nq]...
struct Inputs {
  Values Q, K, V, dO, dL;
};

struct Outputs {
  Values O, L, dQ, dK, dV;
};

// Beside each result, the sum of the absolute terms that it is made of, times
// one plus the largest |scale * q| . |k| of its row: a relative error of eps in
// the intermediate values moves the result by about eps * magnitude.
struct Reference {
  Outputs value;
  Outputs magnitude;
};

// The semantics of attention, written as directly as they can be: a row of
// scores at a time, every sum a plain loop in Real. `round` is applied to each
// intermediate matrix and result; with Real = double and no rounding this is
// the reference that every implementation is held to.
//
// Gradients of a row, from its P: with dP = dO V^T,
//   dS = P * (dP - rowsum(P * dP) + dL),
// since dO/dS gives the first two terms (softmax) and dL/dS = P the last.
template <class Real, class Round>
class PlainAttention {
 public:
  PlainAttention(
      const Problem& problem, double scale, const Inputs& inputs, Round round)
      : p_(problem),
        scale_(static_cast<Real>(scale)),
        in_(inputs),
        round_(round) {}

  Reference run() {
    const auto rows = size(p_.B, p_.Hq, p_.Nq);
    const auto keys = size(p_.B, p_.Hkv, p_.Nk);
    for (auto* out : {&r_.value, &r_.magnitude}) {
      out->O.assign(rows * size(p_.Dv), 0);
      out->L.assign(rows, -std::numeric_limits<double>::infinity());
      out->dQ.assign(rows * size(p_.D), 0);
      out->dK.assign(keys * size(p_.D), 0);
      out->dV.assign(keys * size(p_.Dv), 0);
    }
    for (int b = 0; b < p_.B; ++b) {
      for (int h = 0; h < p_.Hkv; ++h) {
        key_head(b, h);
      }
    }
    return std::move(r_);
  }

 private:
  using Reals = std::vector<Real>;

  static std::size_t size(int a, int b = 1, int c = 1) {
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) *
        static_cast<std::size_t>(c);
  }
  bool seen(int i, int j) const {
    return !p_.causal || j <= i + p_.Nk - p_.Nq;
  }

  // The queries of every head that reads key head h, which share dK and dV.
  void key_head(int b, int h) {
    k_ = size(b * p_.Hkv + h, p_.Nk);
    dK_.assign(size(p_.Nk, p_.D), 0);
    dV_.assign(size(p_.Nk, p_.Dv), 0);
    for (int g = 0; g < p_.group(); ++g) {
      for (int i = 0; i < p_.Nq; ++i) {
        row(size(b * p_.Hq + h * p_.group() + g, p_.Nq) + size(i), i);
      }
    }
    for (std::size_t e = 0; e < dK_.size(); ++e) {
      r_.value.dK[k_ * size(p_.D) + e] = round_(dK_[e]);
    }
    for (std::size_t e = 0; e < dV_.size(); ++e) {
      r_.value.dV[k_ * size(p_.Dv) + e] = round_(dV_[e]);
    }
  }

  void row(std::size_t q, int i) {
    S_.assign(size(p_.Nk), -std::numeric_limits<Real>::infinity());
    Real top = -std::numeric_limits<Real>::infinity();
    largest_ = 0;
    for (int j = 0; j < p_.Nk && seen(i, j); ++j) {
      Real s = 0;
      double terms = 0;
      for (int d = 0; d < p_.D; ++d) {
        const double term = Q(q, d) * K(j, d);
        s += static_cast<Real>(Q(q, d)) * static_cast<Real>(K(j, d));
        terms += std::abs(term);
      }
      S_[size(j)] = static_cast<Real>(round_(scale_ * s));
      top = std::max(top, S_[size(j)]);
      largest_ =
          std::max(largest_, terms * std::abs(static_cast<double>(scale_)));
    }
    if (top == -std::numeric_limits<Real>::infinity()) {
      return; // sees no key: O = 0, L = -inf, no gradient
    }
    Real sum = 0;
    for (auto& s : S_) {
      s = std::exp(s - top);
      sum += s;
    }
    for (auto& s : S_) {
      s = static_cast<Real>(round_(s / sum));
    }
    const double L = static_cast<double>(top + std::log(sum));
    r_.value.L[q] = L;
    r_.magnitude.L[q] = std::abs(L) + largest_;
    output(q);
    gradients(q);
  }

  void output(std::size_t q) {
    for (int d = 0; d < p_.Dv; ++d) {
      Real o = 0;
      double terms = 0;
      for (int j = 0; j < p_.Nk; ++j) {
        o += S_[size(j)] * static_cast<Real>(V(j, d));
        terms += std::abs(static_cast<double>(S_[size(j)]) * V(j, d));
      }
      r_.value.O[q * size(p_.Dv) + size(d)] = round_(o);
      r_.magnitude.O[q * size(p_.Dv) + size(d)] = terms * (1 + largest_);
    }
  }

  void gradients(std::size_t q) {
    Reals dP(size(p_.Nk));
    Values dP_terms(size(p_.Nk));
    Real dot = 0;
    double dot_terms = std::abs(in_.dL[q]);
    for (int j = 0; j < p_.Nk; ++j) {
      Real sum = 0;
      for (int d = 0; d < p_.Dv; ++d) {
        sum += static_cast<Real>(dO(q, d)) * static_cast<Real>(V(j, d));
        dP_terms[size(j)] += std::abs(dO(q, d) * V(j, d));
      }
      dP[size(j)] = static_cast<Real>(round_(sum));
      dot += S_[size(j)] * dP[size(j)];
      dot_terms += static_cast<double>(S_[size(j)]) * dP_terms[size(j)];
    }
    const Real dL = static_cast<Real>(in_.dL[q]);
    Reals dQ(size(p_.D));
    for (int j = 0; j < p_.Nk; ++j) {
      const Real P = S_[size(j)];
      const Real dS = static_cast<Real>(round_(P * (dP[size(j)] - dot + dL)));
      const double terms = static_cast<double>(P) *
          (dP_terms[size(j)] + dot_terms) * (1 + largest_);
      key_gradients(q, j, P, dS, terms);
      for (int d = 0; d < p_.D; ++d) {
        dQ[size(d)] += scale_ * dS * static_cast<Real>(K(j, d));
        r_.magnitude.dQ[q * size(p_.D) + size(d)] +=
            std::abs(static_cast<double>(scale_) * K(j, d)) * terms;
      }
    }
    for (int d = 0; d < p_.D; ++d) {
      r_.value.dQ[q * size(p_.D) + size(d)] = round_(dQ[size(d)]);
    }
  }

  void key_gradients(std::size_t q, int j, Real P, Real dS, double terms) {
    for (int d = 0; d < p_.D; ++d) {
      dK_[size(j, p_.D) + size(d)] += scale_ * dS * static_cast<Real>(Q(q, d));
      r_.magnitude.dK[(k_ + size(j)) * size(p_.D) + size(d)] +=
          std::abs(static_cast<double>(scale_) * Q(q, d)) * terms;
    }
    for (int d = 0; d < p_.Dv; ++d) {
      dV_[size(j, p_.Dv) + size(d)] += P * static_cast<Real>(dO(q, d));
      r_.magnitude.dV[(k_ + size(j)) * size(p_.Dv) + size(d)] +=
          std::abs(static_cast<double>(P) * dO(q, d)) * (1 + largest_);
    }
  }

  double Q(std::size_t q, int d) const {
    return in_.Q[q * size(p_.D) + size(d)];
  }
  double K(int j, int d) const {
    return in_.K[(k_ + size(j)) * size(p_.D) + size(d)];
  }
  double V(int j, int d) const {
    return in_.V[(k_ + size(j)) * size(p_.Dv) + size(d)];
  }
  double dO(std::size_t q, int d) const {
    return in_.dO[q * size(p_.Dv) + size(d)];
  }

  Problem p_;
  Real scale_;
  const Inputs& in_;
  Round round_;
  Reference r_;
  std::size_t k_ = 0;  // first key of the key head at hand
  Reals S_;            // scores, then P, of the row at hand
  Reals dK_, dV_;      // of the key head at hand
  double largest_ = 0; // |scale * q| . |k| of the row at hand
};

// THE reference.
inline Reference reference(
    const Problem& problem, double scale, const Inputs& inputs) {
  const auto exact = [](double x) {
    return x;
  };
  return PlainAttention<double, decltype(exact)>(problem, scale, inputs, exact)
      .run();
}

} // namespace tessera::test
