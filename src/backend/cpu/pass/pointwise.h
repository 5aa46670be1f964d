#pragma once

#include "backend/cpu/pass/forward.h"

namespace tessera::cpu {

// From S and dP of a tile to P and dS, as the backward passes take them.

// Whole register tiles of keys, so that a sum over queries finds every row of
// its tile computed.
template <class Target>
Span whole_tiles(Span t) {
  constexpr int unit = Target::tile.sum_rows;
  return {t.lo / unit * unit, round_up(t.hi, unit)};
}

// A panel of queries, `rows` of `at`, against a block of packed keys; no keys
// where nothing is seen.
template <class Target>
Tile panel_tile(
    const Cover& cover, const Rows& columns, const Rows& at, Span rows) {
  Tile tile{at.batch, at.head, rows, columns.span, {}};
  const Span seen = intersect(columns.span, cover.keys(at.batch, rows));
  if (!seen.empty() && cover.live(at.batch, at.head, rows, seen)) {
    const int first = columns.span.lo;
    tile.t = whole_tiles<Target>({seen.lo - first, seen.hi - first});
  }
  return tile;
}

// Where the elements of a tile of P and dS go, and what they are made from.
template <class Target>
struct Pointwise {
  using V = Vec<Target>;
  using F = typename V::F;

  float* S;                      // -> P
  float* dP;                     // -> dS
  const float* kept = nullptr;   // dropout
  const float* capped = nullptr; // softcap
  const float* L2 = nullptr;     // of the panel's queries
  const float* E = nullptr;
  float exponent = 1.0f;

  // P = exp(S - L), dS = P * (dP - E) at one vector, lanes from `j` on. With
  // dropout Z, P * Z takes P's place, and dP is that of P * Z.
  [[gnu::always_inline]] void step(
      std::ptrdiff_t at, int j, F& P, F& dS) const {
    const F l = V::template load<F>(L2 + j);
    const F e = V::template load<F>(E + j);
    P = V::exp2(V::template load<F>(S + at) * exponent - l);
    F d = V::template load<F>(dP + at);
    const F p = P;
    if (kept != nullptr) {
      const F z = V::template load<F>(kept + at);
      d *= z;
      P *= z;
    }
    dS = p * (d - e);
  }
  [[gnu::always_inline]] F uncap(std::ptrdiff_t at, F dS) const {
    return capped == nullptr ? dS : dS * V::template load<F>(capped + at);
  }
};

template <class Target, int n>
void pointwise(const Pointwise<Target>& x, Span t) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  for (int k = t.lo; k < t.hi; ++k) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      const auto at = X::offset(k, X::panel) + j;
      F P, dS;
      x.step(at, j, P, dS);
      V::store(x.S + at, P);
      V::store(x.dP + at, x.uncap(at, dS));
    }
  }
}

// The same into words: pairs of queries of P and dS, pairs of keys of dS.
template <class Target, int n>
void pointwise_pairs(
    const Pointwise<Target>& x,
    float* P_pairs,
    float* dS_pairs,
    float* key_pairs,
    Span t) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  for (int k = t.lo; k < t.hi; k += 2) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      F dS[2];
      for (int i = 0; i < 2; ++i) {
        const auto at = X::offset(k + i, X::panel) + j;
        F P;
        x.step(at, j, P, dS[i]);
        dS[i] = x.uncap(at, dS[i]);
        V::store(P_pairs + at / 2, V::narrow(P));
        V::store(dS_pairs + at / 2, V::narrow(dS[i]));
      }
      V::store(
          key_pairs + X::offset(k / 2, X::panel) + j, V::pair(dS[0], dS[1]));
    }
  }
}

// The slope's part of a tile: -sum(dS * |i' - j|), before the softcap.
template <class Target, int n>
float slope_gradient(
    const Task& task, const Tile& tile, const Pointwise<Target>& x) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  const int shift = task.problem.Nk - task.problem.Nq;
  const F first = __builtin_convertvector(
      V::iota() + (tile.rows.lo + shift - tile.packed.lo), F);
  F sum = {};
  for (int k = tile.t.lo; k < tile.t.hi; ++k) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      F P, dS;
      x.step(X::offset(k, X::panel) + j, j, P, dS);
      sum -= dS * V::abs(first + static_cast<float>(j - k));
    }
  }
  return V::sum(sum);
}

// S and dP of a tile, as the pointwise steps take them. False where the boolean
// mask leaves nothing; else `tile.t` is what is left.
template <class Target, int n>
bool score_and_gradient(
    const Task& task,
    const Cover& cover,
    const Buffers<Target>& b,
    const Pointwise<Target>& x,
    int panel,
    bool gradient,
    Tile& tile) {
  const Features& features = task.problem.features;
  if (features.mask) {
    const Span left = read_added<Target, n>(task, tile, b.at(b.size.added));
    tile.t = left.empty() ? left : intersect(tile.t, whole_tiles<Target>(left));
    if (tile.t.empty()) {
      return false;
    }
  }
  multiply_keys<Target, n>(task, b, tile, panel, x.S);
  finish_scores<Target, n>(task, cover, b, tile, x.S);
  if (gradient) {
    b.template scores<n>(
        x.dP,
        b.size.V_rows,
        b.size.dO_lanes,
        b.size.value_words,
        panel,
        tile.t);
  }
  if (features.dropout) {
    draw_kept<Target, n>(task, tile, b.at(b.size.kept));
  }
  return true;
}

template <class Target>
Pointwise<Target> pointwise_of(
    const Task& task, const Buffers<Target>& b, int panel) {
  constexpr bool pairs = Buffers<Target>::pairs;
  const Features& features = task.problem.features;
  const int lane = panel * Product<Target>::panel;
  Pointwise<Target> x;
  x.S = b.tile(b.size.S, pairs ? 0 : panel);
  x.dP = b.tile(b.size.dP, pairs ? 0 : panel);
  x.kept = features.dropout ? b.at(b.size.kept) : nullptr;
  x.capped = features.softcap ? b.at(b.size.capped) : nullptr;
  x.L2 = b.statistic(0) + lane;
  x.E = b.statistic(1) + lane;
  x.exponent = b.factors.exponent;
  return x;
}

} // namespace tessera::cpu
