#include "plan/mask.h"

#include <algorithm>
#include <cstdint>

namespace tessera {

namespace {

// The first row whose span makes `reached` true; it must stay true after that.
template <typename Predicate>
int first_row(const Mask& mask, Predicate reached) {
  int lo = 0;
  int hi = mask.Nq;
  while (lo < hi) {
    const int middle = lo + (hi - lo) / 2;
    if (reached(mask.span(middle))) {
      hi = middle;
    } else {
      lo = middle + 1;
    }
  }
  return lo;
}

std::int64_t floor_modulo(std::int64_t a, std::int64_t b) {
  return ((a % b) + b) % b;
}

Span ordered(int lo, int hi) {
  return {lo, std::max(lo, hi)};
}

} // namespace

Span intersect(Span a, Span b) {
  return ordered(std::max(a.lo, b.lo), std::min(a.hi, b.hi));
}

Span Mask::span(int row) const {
  using Wide = std::int64_t; // bounds of a window may be near the largest int
  const Wide position = Wide{row} + Nk - Nq;
  Wide lo = 0;
  Wide hi = Nk;
  if (causal) {
    hi = std::min(hi, std::max(position + 1, Wide{prefix}));
  }
  if (left != unbounded) {
    lo = std::max(lo, position - left);
  }
  if (right != unbounded) {
    hi = std::min(hi, position + right + 1);
  }
  if (chunk > 0) {
    const Wide first = position - floor_modulo(position, chunk);
    lo = std::max(lo, first);
    hi = std::min(hi, first + chunk);
  }
  lo = std::clamp(lo, Wide{0}, Wide{Nk});
  return {static_cast<int>(lo), static_cast<int>(std::clamp(hi, lo, Wide{Nk}))};
}

Span Mask::seen_by_any(Span rows) const {
  return rows.empty() ? Span{}
                      : ordered(span(rows.lo).lo, span(rows.hi - 1).hi);
}

Span Mask::seen_by_all(Span rows) const {
  return rows.empty() ? Span{0, Nk}
                      : ordered(span(rows.hi - 1).lo, span(rows.lo).hi);
}

Span Mask::sees_any(Span columns) const {
  return columns.empty()
      ? Span{}
      : ordered(
            first_row(*this, [=](Span s) { return s.hi > columns.lo; }),
            first_row(*this, [=](Span s) { return s.lo >= columns.hi; }));
}

Span Mask::sees_all(Span columns) const {
  return columns.empty()
      ? Span{0, Nq}
      : ordered(
            first_row(*this, [=](Span s) { return s.hi >= columns.hi; }),
            first_row(*this, [=](Span s) { return s.lo > columns.lo; }));
}

} // namespace tessera
