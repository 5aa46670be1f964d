// The gradient of a bias, in its own shape: a simdgroup owns a tile of it and
// loops over what the bias was broadcast along.
const Lane lane = lane_of(thread_index_in_simdgroup);
const int Nq = int(Q_sides[2]);
const int Nk = int(K_sides[2]);
const bool one_batch = int(bias_sides[0]) == 1;
const bool one_head = int(bias_sides[1]) == 1;
const bool one_query = int(bias_sides[2]) == 1;
const bool one_key = int(bias_sides[3]) == 1;

const int tiles_across = one_key ? 1 : (Nk + 8 * N - 1) / (8 * N);
const int tile_number = int(threadgroup_position_in_grid.x);
const int own_head = piece[1] + int(threadgroup_position_in_grid.y);
const int own_batch = piece[2] + int(threadgroup_position_in_grid.z);
// The rows of tiles of a piece begin at piece[0].
const int first_row = (piece[0] + tile_number / tiles_across) * 8 * R;
const int first_column = tile_number % tiles_across * 8 * N;
const Span columns = {
    one_key ? 0 : first_column, one_key ? Nk : first_column + 1};

const int64_t flat =
    (int64_t(threadgroup_position_in_grid.z) * int(threads_per_grid.y) +
     int(threadgroup_position_in_grid.y)) *
        (int(threads_per_grid.x) / threads) +
    tile_number;
const int64_t slots = flat * (R * N * 64) + lane.index * 2;
Tile total;
#if BEGINS
clear(total);
#else
UNROLL for (int i = 0; i < R; ++i) {
  UNROLL for (int n = 0; n < N; ++n) {
    const int64_t slot = slots + (i * N + n) * 64;
    total.of[i][n] = float2(totals[slot], totals[slot + 1]);
  }
}
#endif

// A step for each batch entry, head and block of rows that share the tile.
const int steps_down = one_query ? (Nq + 8 * R - 1) / (8 * R) : 1;
const int heads = one_head ? int(Q_sides[1]) : 1;
for (int step = piece[3]; step < piece[4]; ++step) {
  const int batch = one_batch ? step / steps_down / heads : own_batch;
  const int head = one_head ? step / steps_down % heads : own_head;
  const int row = one_query ? step % steps_down * 8 * R : first_row;
#include "begin.metal"
  Own<Rows<Q_pointer, head_dim>, head_dim, false> queries;
  queries.source = {Q + batch * Q_steps[0] + head * Q_steps[1], Q_steps[2], Nq};
  Own<Rows<dO_pointer, value_dim>, value_dim, false> cotangents;
  cotangents.source = {
      dO + batch * dO_steps[0] + head * dO_steps[1], dO_steps[2], Nq};
  const Rows<K_pointer, head_dim> keys = {
      K + batch * K_steps[0] + head / group * K_steps[1], K_steps[2], Nk};
  const Rows<V_pointer, value_dim> values = {
      V + batch * V_steps[0] + head / group * V_steps[1], V_steps[2], Nk};
  const Place at = {head, row, Nq, Nq, lane};
  queries.first = row;
  cotangents.first = row;
  const Span own = intersect({row, row + 8 * R}, {0, Nq});
  const Span some = scores.positions.seen_by_any(own);
  const Span every = scores.positions.seen_by_all(own);
  for (int c = columns.lo; c < columns.hi; c += 8 * N) {
    const Span tile = {c, c + 8 * N};
    uint seen = 0;
    if (!intersect(some, tile).empty()) {
      seen =
          seen_bits(scores, at, c, row + 8 * R <= Nq && every.contains(tile));
    }
    const Span live = within(some, c, seen);
    if (live.empty()) {
      continue;
    }
    Tile S;
    Tile dP;
    clear(S);
    clear(dP);
    add_scores<(head_dim + 7) / 8>(S, queries, 0, keys, c, live, lane);
    add_scores<(value_dim + 7) / 8>(dP, cotangents, 0, values, c, live, lane);
    UNROLL for (int i = 0; i < R; ++i) {
      const int r = row + 8 * i + lane.row;
      float L_of = INFINITY;
      float D_of = 0.0f;
      if (r < Nq) {
        L_of = logsumexp2(
            L[batch * L_steps[0] + head * L_steps[1] + r * L_steps[2]]);
        D_of = D[batch * D_steps[0] + head * D_steps[1] + r * D_steps[2]];
      }
      UNROLL for (int n = 0; n < N; ++n) {
        UNROLL for (int e = 0; e < 2; ++e) {
          const Element x = element(at, c, i, n, e);
          if ((seen & bit_of(i, n, e)) != 0) {
            total.of[i][n][e] += element_gradient(
                                     scores,
                                     x,
                                     S.of[i][n][e],
                                     dP.of[i][n][e],
                                     scores.kept_at(x.head, x.query, x.key),
                                     L_of,
                                     D_of)
                                     .dS;
          }
        }
      }
    }
  }
}

#if ENDS
// Adds up along the axes of 1: the sums come to stand in row 0 and column 0.
if (one_query) {
  UNROLL for (int n = 0; n < N; ++n) {
    float2 sum = 0.0f;
    UNROLL for (int i = 0; i < R; ++i) {
      sum += total.of[i][n];
    }
    total.of[0][n] = float2(column_sum(sum.x), column_sum(sum.y));
  }
}
if (one_key) {
  UNROLL for (int i = 0; i < R; ++i) {
    float sum = 0.0f;
    UNROLL for (int n = 0; n < N; ++n) {
      sum += total.of[i][n].x + total.of[i][n].y;
    }
    total.of[i][0].x = row_sum(sum);
  }
}
const int rows_out = one_query
    ? 1
    : min(Nq,
          (piece[0] + int(threads_per_grid.x) / threads / tiles_across) * 8 *
              R) -
        piece[0] * 8 * R;
const int row_out = first_row - piece[0] * 8 * R;
const int columns_out = one_key ? 1 : Nk;
const int64_t out =
    (int64_t(threadgroup_position_in_grid.z) * int(threads_per_grid.y) +
     int(threadgroup_position_in_grid.y)) *
    rows_out;
UNROLL for (int i = 0; i < R; ++i) {
  UNROLL for (int n = 0; n < N; ++n) {
    UNROLL for (int e = 0; e < 2; ++e) {
      const int r = row_out + 8 * i + lane.row;
      const int c = first_column + 8 * n + lane.column + e;
      if (r < rows_out && c < columns_out) {
        dbias[(out + r) * columns_out + c] = dbias_type(total.of[i][n][e]);
      }
    }
  }
}
#else
UNROLL for (int i = 0; i < R; ++i) {
  UNROLL for (int n = 0; n < N; ++n) {
    const int64_t slot = slots + (i * N + n) * 64;
    totals_next[slot] = total.of[i][n].x;
    totals_next[slot + 1] = total.of[i][n].y;
  }
}
#endif
