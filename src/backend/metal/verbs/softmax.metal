// The softmax of rows that come a tile at a time (Milakov and Gimelshein,
// "Online normalizer calculation for softmax", 2018, section 3). Each of the
// four lanes of a row adds up its own columns.
struct Softmax {
  float m[R]; // the maximum of the scores so far, base 2
  float l[R]; // the lane's part of the sum of exp2(S - m)

  // S -> P of the i-th rows, where it meets `live`; gives what the sums so far
  // are to be multiplied by.
  float fold(thread Tile& S, int i, Span live) {
    float top = -INFINITY;
    UNROLL for (int n = 0; n < N; ++n) {
      if (meets(live, n)) {
        top = max(top, max(S.of[i][n].x, S.of[i][n].y));
      }
    }
    top = max(m[i], row_max(top));
    // A row whose scores all lie below -1e8 counts as one that sees no key.
    const float base = top > -1e8f * LOG2E ? top : 0.0f;
    const float factor = exp2(m[i] - base);
    float sum = 0.0f;
    UNROLL for (int n = 0; n < N; ++n) {
      if (meets(live, n)) {
        S.of[i][n] =
            float2(exp2(S.of[i][n].x - base), exp2(S.of[i][n].y - base));
        sum += S.of[i][n].x + S.of[i][n].y;
      }
    }
    l[i] = l[i] * factor + sum;
    m[i] = top;
    return factor;
  }
};

// The scores of a tile where it meets `live`, in units of the logarithm of base
// 2; -inf where hidden.
inline void finish_scores(
    thread Tile& S,
    thread const Scores& scores,
    Place at,
    int c,
    Span live,
    uint seen) {
  UNROLL for (int i = 0; i < R; ++i) {
    UNROLL for (int n = 0; n < N; ++n) {
      if (!meets(live, n)) {
        continue;
      }
      UNROLL for (int e = 0; e < 2; ++e) {
        float slope;
        const Element x = element(at, c, i, n, e);
        S.of[i][n][e] = (seen & bit_of(i, n, e)) != 0
            ? scores.of(S.of[i][n][e], x.head, x.query, x.key, slope)
            : -INFINITY;
      }
    }
  }
}

// P -> what O adds up: dropout takes effect after the softmax.
inline void drop(thread Tile& P, thread const Scores& scores, Place at, int c) {
#if HAS_DROPOUT
  UNROLL for (int i = 0; i < R; ++i) {
    UNROLL for (int n = 0; n < N; ++n) {
      const Element x = element(at, c, i, n, 0);
      P.of[i][n] *= scores.kept_of(x.head, x.query, x.key);
    }
  }
#endif
}
