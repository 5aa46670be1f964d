// The two products of every loop. Of `b`, whose 8 * N rows from `row` on make
// the columns of a tile, only the fragments that meet `live` count: the rest is
// hidden. An empty `live` leaves all as it is.

// What one lane holds of a tile of R x N fragments.
struct Tile {
  float2 of[R][N];
};

inline bool meets(Span live, int n) {
  return 8 * n < live.hi && 8 * n + 8 > live.lo;
}

// S += a * b^T over the 8 features of fragment `from` of a, those from
// `feature` on of b.
template <typename A, typename B>
void add_scores_of(
    thread Tile& S,
    thread const A& a,
    int from,
    B b,
    int row,
    int feature,
    Span live,
    Lane lane) {
  vec<T, 2> left[R];
  UNROLL for (int i = 0; i < R; ++i) {
    left[i] = a.upright(i, from, lane);
  }
  UNROLL for (int n = 0; n < N; ++n) {
    if (meets(live, n)) {
      const vec<T, 2> right = b.transposed(row + 8 * n, feature, lane);
      UNROLL for (int i = 0; i < R; ++i) {
        multiply_add(S.of[i][n], left[i], right);
      }
    }
  }
}

// S += a * b^T over 8 * F features, a's from fragment `first` on, b's from its
// first feature on. What is held needs constant indices; of many features that
// are read again, addresses would take registers of their own.
template <int F, typename A, typename B>
void add_scores(
    thread Tile& S,
    thread const A& a,
    int first,
    B b,
    int row,
    Span live,
    Lane lane) {
  if (live.empty()) {
    return;
  }
  if (!A::is_held && F > 16) {
    ROLLED for (int f = 0; f < F; ++f) {
      add_scores_of(S, a, first + f, b, row, 8 * f, live, lane);
    }
  } else {
    UNROLL for (int f = 0; f < F; ++f) {
      add_scores_of(S, a, first + f, b, row, 8 * f, live, lane);
    }
  }
}

// sum += tile * b for the 8 features of fragment `to` of the sum, those from
// `feature` on of b.
template <typename Total, typename B>
void add_product_of(
    thread Total& sum,
    int to,
    thread const Tile& tile,
    B b,
    int row,
    int feature,
    Span live,
    Lane lane) {
  float2 total[R];
  UNROLL for (int i = 0; i < R; ++i) {
    total[i] = sum.get(i, to);
  }
  UNROLL for (int n = 0; n < N; ++n) {
    if (meets(live, n)) {
      const vec<T, 2> right = b.upright(row + 8 * n, feature, lane);
      UNROLL for (int i = 0; i < R; ++i) {
        multiply_add(total[i], tile.of[i][n], right);
      }
    }
  }
  UNROLL for (int i = 0; i < R; ++i) {
    sum.set(i, to, total[i]);
  }
}

// sum += tile * b for 8 * F features of the sum from fragment `first` on. One
// that is spilled needs no constant indices, but an address a slot in a
// register if they are.
template <int F, typename Total, typename B>
void add_product(
    thread Total& sum,
    int first,
    thread const Tile& tile,
    B b,
    int row,
    Span live,
    Lane lane) {
  if (live.empty()) {
    return;
  }
  if (Total::is_spilled) {
    ROLLED for (int f = 0; f < F; ++f) {
      add_product_of(sum, first + f, tile, b, row, 8 * f, live, lane);
    }
  } else {
    UNROLL for (int f = 0; f < F; ++f) {
      add_product_of(sum, first + f, tile, b, row, 8 * f, live, lane);
    }
  }
}
