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

// S += a * b^T over 8 * F features, a's from fragment `first` on, b's from its
// first feature on.
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
  UNROLL for (int f = 0; f < F; ++f) {
    float2 left[R];
    UNROLL for (int i = 0; i < R; ++i) {
      left[i] = a.upright(i, first + f, lane);
    }
    UNROLL for (int n = 0; n < N; ++n) {
      if (meets(live, n)) {
        const float2 right = b.transposed(row + 8 * n, 8 * f, lane);
        UNROLL for (int i = 0; i < R; ++i) {
          multiply_add(S.of[i][n], left[i], right);
        }
      }
    }
  }
}

// sum += tile * b for 8 * F features of the sum from fragment `first` on.
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
  UNROLL for (int f = 0; f < F; ++f) {
    float2 total[R];
    UNROLL for (int i = 0; i < R; ++i) {
      total[i] = sum.get(i, first + f);
    }
    UNROLL for (int n = 0; n < N; ++n) {
      if (meets(live, n)) {
        const float2 right = b.upright(row + 8 * n, 8 * f, lane);
        UNROLL for (int i = 0; i < R; ++i) {
          multiply_add(total[i], tile.of[i][n], right);
        }
      }
    }
    UNROLL for (int i = 0; i < R; ++i) {
      sum.set(i, first + f, total[i]);
    }
  }
}
