#pragma once

#include "backend/cpu/tile/panel.h"

namespace tessera::cpu {

// Writes -inf over the scores that the mask leaves out, where lanes are queries
// from `rows.lo` on and tile row t is key `first + t`.
template <class Target, int n>
void hide_keys(float* tile, const Mask& mask, Span rows, int first, Span t) {
  using V = Vec<Target>;
  using P = Panel<Target>;
  alignas(64) std::int32_t lo[P::width];
  alignas(64) std::int32_t hi[P::width];
  for (int i = 0; i < n * V::lanes; ++i) {
    const Span span = mask.span(P::min(rows.lo + i, rows.hi - 1));
    lo[i] = span.lo;
    hi[i] = span.hi;
  }
  for (int k = t.lo; k < t.hi; ++k) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      float* at = tile + P::offset(k, P::width) + j;
      const auto seen = (V::template load<typename V::I>(lo + j) <= first + k) &
          (V::template load<typename V::I>(hi + j) > first + k);
      const auto s = V::template load<typename V::F>(at);
      V::store(at, seen ? s : V::broadcast(-V::infinity));
    }
  }
}

// The same where lanes are keys from `first` on and tile row t is query
// `row + t`.
template <class Target, int n>
void hide_queries(float* tile, const Mask& mask, int first, int row, Span t) {
  using V = Vec<Target>;
  using P = Panel<Target>;
  for (int q = t.lo; q < t.hi; ++q) {
    const Span span = mask.span(row + q);
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      float* at = tile + P::offset(q, P::width) + j;
      const auto key = V::iota() + (first + j);
      const auto s = V::template load<typename V::F>(at);
      V::store(
          at,
          ((key >= span.lo) & (key < span.hi)) ? s
                                               : V::broadcast(-V::infinity));
    }
  }
}

} // namespace tessera::cpu
