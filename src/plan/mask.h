#pragma once

#include <limits>

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
  bool operator==(const Span&) const = default;
};

Span intersect(Span a, Span b);

// A side of a window without a bound.
constexpr int unbounded = std::numeric_limits<int>::max();

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
  Span span(int row) const;

  // The keys that some query of `rows` may see, and those that all of them see.
  // The first is the least span that holds them.
  Span seen_by_any(Span rows) const;
  Span seen_by_all(Span rows) const;

  // The queries that may see some key of `columns`, and those that see them
  // all.
  Span sees_any(Span columns) const;
  Span sees_all(Span columns) const;

  bool operator==(const Mask&) const = default;
};

} // namespace tessera
