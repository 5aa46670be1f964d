// A tile of the score matrix as one simdgroup holds it: R x N fragments, rows
// its own, columns those that the loop has come to. Queries lie along the rows,
// or keys where `keys_in_rows`.

// Where a simdgroup works.
struct Place {
  int head;     // of Q; the first one where the rows are of several
  int first;    // row
  int rows;     // that there are
  int per_head; // rows of a head, read where packed
  Lane lane;
};

struct Element {
  int head;
  int query;
  int key;
};

// The lane's element e of fragment (i, n) of the tile whose first column is c.
inline Element element(Place at, int c, int i, int n, int e) {
  const int row = at.first + 8 * i + at.lane.row;
  const int column = c + 8 * n + at.lane.column + e;
  if (keys_in_rows) {
    return {at.head, column, row};
  }
  if (packed_rows) {
    return {at.head + row / at.per_head, row % at.per_head, column};
  }
  return {at.head, row, column};
}

inline uint bit_of(int i, int n, int e) {
  return 1u << ((i * N + n) * 2 + e);
}

// A bit for each element of the lane: whether the query sees the key.
// `positions` says that by their positions all do.
inline uint seen_bits(
    thread const Scores& scores, Place at, int c, bool positions) {
  const bool arrays = HAS_SEGMENTS || HAS_MASK || HAS_BLOCKS;
  if (positions && !arrays) {
    return ~0u;
  }
  uint bits = 0;
  UNROLL for (int i = 0; i < R; ++i) {
    const Element first = element(at, c, i, 0, 0);
    Span span = scores.positions.span(first.query);
    const bool row = at.first + 8 * i + at.lane.row < at.rows;
    UNROLL for (int n = 0; n < N; ++n) {
      UNROLL for (int e = 0; e < 2; ++e) {
        const Element x = element(at, c, i, n, e);
        if (keys_in_rows) {
          span = scores.positions.span(x.query);
        }
        const bool inside = row && x.query < scores.positions.Nq &&
            span.lo <= x.key && x.key < span.hi;
        if (inside && scores.sees(x.head, x.query, x.key)) {
          bits |= bit_of(i, n, e);
        }
      }
    }
  }
  return bits;
}

inline void clear(thread Tile& S) {
  UNROLL for (int i = 0; i < R; ++i) {
    UNROLL for (int n = 0; n < N; ++n) {
      S.of[i][n] = float2(0.0f);
    }
  }
}

// What a tile holds for some rows, of those that the loop visits.
inline Span within(Span seen, int c, uint bits) {
  if (!simd_any(bits != 0)) {
    return {0, 0};
  }
  return intersect({seen.lo - c, seen.hi - c}, {0, 8 * N});
}
