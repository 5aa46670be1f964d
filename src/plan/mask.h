// Written in what C++ and the Metal Shading Language share: the kernels' text
// begins with this file, so that the rule exists once.
#ifndef __METAL_VERSION__
#pragma once

#include <cstdint>

using std::int64_t;
#endif

namespace tessera {

// The whole numbers lo <= x < hi.
struct Span {
  int lo = 0;
  int hi = 0;

  bool empty() const {
    return lo >= hi;
  }
  int size() const {
    return empty() ? 0 : hi - lo;
  }
  bool contains(Span other) const {
    return other.empty() || (lo <= other.lo && other.hi <= hi);
  }
#ifndef __METAL_VERSION__
  bool operator==(const Span&) const = default;
#endif
};

inline Span ordered(int lo, int hi) {
  return {lo, hi < lo ? lo : hi};
}

inline Span intersect(Span a, Span b) {
  return ordered(a.lo > b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi);
}

// A side of a window without a bound.
enum Bound : int { unbounded = 0x7fffffff };

// Which keys a query may see by their positions, given once as a span of keys a
// query. Both bounds never fall from one query to the next; everything below
// `span` follows from that, block skipping and "this block needs no mask"
// included. Query i stands at position i' = i + Nk - Nq of the keys.
struct Mask {
  int Nq = 0;
  int Nk = 0;
  bool causal = false;   // key j <= i', or j < prefix
  int left = unbounded;  // key j >= i' - left
  int right = unbounded; // key j <= i' + right
  int chunk = 0;         // floor(j / chunk) == floor(i' / chunk); 0: no chunks
  int prefix = 0;

  // The keys that query `row` sees, within [0, Nk). An empty span has lo = hi.
  Span span(int row) const {
    // In 64 bits: bounds of a window may be near the largest int.
    const int64_t position = int64_t(row) + Nk - Nq;
    int64_t lo = 0;
    int64_t hi = Nk;
    if (causal) {
      const int64_t last = position + 1;
      hi = least(hi, most(last, prefix));
    }
    if (left != unbounded) {
      lo = most(lo, position - left);
    }
    if (right != unbounded) {
      hi = least(hi, position + right + 1);
    }
    if (chunk > 0) {
      const int64_t first =
          position - ((position % chunk) + chunk) % chunk; // a floor
      lo = most(lo, first);
      hi = least(hi, first + chunk);
    }
    lo = least(most(lo, 0), Nk);
    return {int(lo), int(least(most(hi, lo), Nk))};
  }

  // The keys that some query of `rows` may see, and those that all of them see.
  // The first is the least span that holds them.
  Span seen_by_any(Span rows) const {
    if (rows.empty()) {
      return {0, 0};
    }
    return ordered(span(rows.lo).lo, span(rows.hi - 1).hi);
  }
  Span seen_by_all(Span rows) const {
    if (rows.empty()) {
      return {0, Nk};
    }
    return ordered(span(rows.hi - 1).lo, span(rows.lo).hi);
  }

  // The queries that may see some key of `columns`, and those that see them
  // all.
  Span sees_any(Span columns) const {
    if (columns.empty()) {
      return {0, 0};
    }
    return ordered(
        first_row_that_ends_after(columns.lo),
        first_row_that_begins_from(columns.hi));
  }
  Span sees_all(Span columns) const {
    if (columns.empty()) {
      return {0, Nq};
    }
    return ordered(
        first_row_that_ends_after(columns.hi - 1),
        first_row_that_begins_from(columns.lo + 1));
  }

  // The first query whose span ends after `column`, or begins there or later.
  int first_row_that_ends_after(int column) const {
    int lo = 0;
    int hi = Nq;
    while (lo < hi) {
      const int middle = lo + (hi - lo) / 2;
      if (span(middle).hi > column) {
        hi = middle;
      } else {
        lo = middle + 1;
      }
    }
    return lo;
  }
  int first_row_that_begins_from(int column) const {
    int lo = 0;
    int hi = Nq;
    while (lo < hi) {
      const int middle = lo + (hi - lo) / 2;
      if (span(middle).lo >= column) {
        hi = middle;
      } else {
        lo = middle + 1;
      }
    }
    return lo;
  }

  static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
  }
  static int64_t most(int64_t a, int64_t b) {
    return a < b ? b : a;
  }
#ifndef __METAL_VERSION__
  bool operator==(const Mask&) const = default;
#endif
};

} // namespace tessera
