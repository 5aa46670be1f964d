#include "plan/mask.h"

#include <algorithm>

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

Span ordered(int lo, int hi) {
  return {lo, std::max(lo, hi)};
}

} // namespace

Span intersect(Span a, Span b) {
  return ordered(std::max(a.lo, b.lo), std::min(a.hi, b.hi));
}

Span Mask::span(int row) const {
  if (!causal) {
    return {0, Nk};
  }
  return {0, std::clamp(row + Nk - Nq + 1, 0, Nk)};
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
