// dQ of a block of rows, and each row's sum for the gradient of its slope.
const Lane lane = lane_of(thread_index_in_simdgroup);
const int batch = piece[2] + int(threadgroup_position_in_grid.z);
#include "begin.metal"
const int Nq = scores.positions.Nq;
const int block = piece[0] + int(threadgroup_position_in_grid.x);
const int head = piece[1] + int(threadgroup_position_in_grid.y);
const int kv_head = head / group;
Place at = {
    head, M* block + int(simdgroup_index_in_threadgroup) * 8 * R, Nq, Nq, lane};
const Span all = intersect({M * block, block* M + M}, {0, Nq});
const Span own = intersect({at.first, at.first + 8 * R}, {0, Nq});
const bool full = at.first + 8 * R <= Nq;

Own<Rows<Q_pointer, head_dim>, head_dim, bool(hold_own)> queries;
queries.source = {Q + batch * Q_steps[0] + head * Q_steps[1], Q_steps[2], Nq};
queries.first = at.first;
queries.load(lane);
Own<Rows<dO_pointer, value_dim>, value_dim, bool(hold_value)> cotangents;
cotangents.source = {
    dO + batch * dO_steps[0] + head * dO_steps[1], dO_steps[2], Nq};
cotangents.first = at.first;
cotangents.load(lane);

#include "keys.metal"

float L_of[R];
float D_of[R];
UNROLL for (int i = 0; i < R; ++i) {
  const int r = at.first + 8 * i + lane.row;
  L_of[i] = INFINITY;
  D_of[i] = 0.0f;
  if (r < Nq) {
    L_of[i] =
        logsumexp2(L[batch * L_steps[0] + head * L_steps[1] + r * L_steps[2]]);
    D_of[i] = D[batch * D_steps[0] + head * D_steps[1] + r * D_steps[2]];
  }
}

// The rows of this head in the piece's outputs.
const int first_row = piece[0] * M;
const int rows_out =
    min(Nq, first_row + int(threads_per_grid.x) / threads * M) - first_row;
const int64_t out =
    (int64_t(threadgroup_position_in_grid.z) * int(threads_per_grid.y) +
     int(threadgroup_position_in_grid.y)) *
    rows_out;
const int row_out = at.first - first_row;

#if SPILLED == 1
threadgroup float spill[simdgroups * slots_of_sum];
Sum<threadgroup float*, head_dim, true> sum;
sum.slots =
    spill + int(simdgroup_index_in_threadgroup) * slots_of_sum + lane.index;
#else
Sum<thread float*, head_dim, false> sum;
#endif
float slope_sum[R];
#if BEGINS
sum.clear();
UNROLL for (int i = 0; i < R; ++i) {
  slope_sum[i] = 0.0f;
}
#else
sum.load(
    Rows<dQ_sum_pointer, head_dim>{dQ_sum + out * head_dim, head_dim, rows_out},
    row_out,
    lane);
UNROLL for (int i = 0; i < R; ++i) {
  slope_sum[i] = 0.0f;
#if HAS_ALIBI
  const int r = row_out + 8 * i + lane.row;
  if (r < rows_out) {
    slope_sum[i] = slope_sums[(out + r) * 4 + lane.column / 2];
  }
#endif
}
#endif

const Span part = {piece[3], piece[4]};
const Span columns = intersect(scores.positions.seen_by_any(all), part);
const Span some = intersect(scores.positions.seen_by_any(own), part);
const Span every = intersect(scores.positions.seen_by_all(own), part);
const Ids ids = scores.ids_of_queries(all, lane);

for (int c = columns.lo / (8 * N) * (8 * N); c < columns.hi; c += 8 * N) {
  const Span tile = {c, c + 8 * N};
  if (!overlap(ids, scores.ids_of_keys(tile, lane)) ||
      !scores.any_block(head, all, tile, lane)) {
    continue;
  }
  uint seen = 0;
  if (!intersect(some, tile).empty()) {
    seen = seen_bits(scores, at, c, full && every.contains(tile));
  }
  const Span live = within(some, c, seen);
#if STAGED == 1
  threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
  keys.go_to(c);
  values.go_to(c);
#if STAGED == 1
  threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
  Tile S;
  Tile dP;
  clear(S);
  clear(dP);
  keys.add_scores_to(S, queries, live, lane);
  values.add_scores_to(dP, cotangents, live, lane);
  UNROLL for (int i = 0; i < R; ++i) {
    UNROLL for (int n = 0; n < N; ++n) {
      const Element first = element(at, c, i, n, 0);
      const float2 kept = scores.kept_of(first.head, first.query, first.key);
      UNROLL for (int e = 0; e < 2; ++e) {
        const Element x = element(at, c, i, n, e);
        float dS = 0.0f;
        if ((seen & bit_of(i, n, e)) != 0) {
          const ElementGradient g = element_gradient(
              scores,
              x,
              S.of[i][n][e],
              dP.of[i][n][e],
              kept[e],
              L_of[i],
              D_of[i]);
          dS = g.dproduct;
#if HAS_ALIBI
          slope_sum[i] -= g.dS * float(scores.distance(x.query, x.key));
#endif
        }
        S.of[i][n][e] = dS;
      }
    }
  }
  keys.add_product_to(sum, S, live, lane);
}

UNROLL for (int i = 0; i < R; ++i) {
  const int r = row_out + 8 * i + lane.row;
#if ENDS
  sum.store(dQ + out * head_dim, row_out, rows_out, scores.scale, i, lane);
#if HAS_ALIBI
  const float total = row_sum(slope_sum[i]);
  if (lane.column == 0 && r < rows_out) {
    dslope_rows[out + r] = total;
  }
#endif
#else
  sum.store(dQ_sum_next + out * head_dim, row_out, rows_out, 1.0f, i, lane);
#if HAS_ALIBI
  if (r < rows_out) {
    slope_sums_next[(out + r) * 4 + lane.column / 2] = slope_sum[i];
  }
#endif
#endif
}
