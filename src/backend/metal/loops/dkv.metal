// dK and dV of a block of keys: runs along the queries of every head that
// shares them.
const Lane lane = lane_of(thread_index_in_simdgroup);
const int batch = piece[2] + int(threadgroup_position_in_grid.z);
#include "begin.metal"
const int Nq = scores.positions.Nq;
const int Nk = scores.positions.Nk;
const int block = piece[0] + int(threadgroup_position_in_grid.x);
const int kv_head = piece[1] + int(threadgroup_position_in_grid.y);
Place at = {
    0, M* block + int(simdgroup_index_in_threadgroup) * 8 * R, Nk, Nk, lane};
const Span all = intersect({M * block, block* M + M}, {0, Nk});
const Span own = intersect({at.first, at.first + 8 * R}, {0, Nk});
const bool full = at.first + 8 * R <= Nk;

Own<Rows<K_pointer, head_dim>, head_dim, bool(hold_own)> keys;
keys.source = {K + batch * K_steps[0] + kv_head * K_steps[1], K_steps[2], Nk};
keys.first = at.first;
keys.load(lane);
Own<Rows<V_pointer, value_dim>, value_dim, bool(hold_value)> values;
values.source = {V + batch * V_steps[0] + kv_head * V_steps[1], V_steps[2], Nk};
values.first = at.first;
values.load(lane);

#if STAGED
threadgroup T staged[staged_elements];
threadgroup T* const stage_Q = staged;
threadgroup T* const stage_dO = staged + staged_offset;
#else
threadgroup T* const stage_Q = nullptr;
threadgroup T* const stage_dO = nullptr;
#endif
Along<Rows<Q_pointer, head_dim>, head_dim, head_block> queries;
queries.memory = stage_Q;
queries.thread_index = thread_index_in_threadgroup;
Along<Rows<dO_pointer, value_dim>, value_dim, value_block> cotangents;
cotangents.memory = stage_dO;
cotangents.thread_index = thread_index_in_threadgroup;

// The rows of this head in the piece's outputs.
const int first_row = piece[0] * M;
const int rows_out =
    min(Nk, first_row + int(threads_per_grid.x) / threads * M) - first_row;
const int64_t out =
    (int64_t(threadgroup_position_in_grid.z) * int(threads_per_grid.y) +
     int(threadgroup_position_in_grid.y)) *
    rows_out;
const int row_out = at.first - first_row;

#if SPILLED == 2
const int64_t flat =
    ((int64_t(threadgroup_position_in_grid.z) * int(threads_per_grid.y) +
      int(threadgroup_position_in_grid.y)) *
         (int(threads_per_grid.x) / threads) +
     int(threadgroup_position_in_grid.x)) *
        simdgroups +
    int(simdgroup_index_in_threadgroup);
Sum<device float*, head_dim, true> sum_dK;
Sum<device float*, value_dim, true> sum_dV;
sum_dK.slots = spill + flat * slots_of_sum + lane.index;
sum_dV.slots = sum_dK.slots + slots_of_dK;
#else
Sum<thread float*, head_dim, false> sum_dK;
Sum<thread float*, value_dim, false> sum_dV;
#endif
#if BEGINS
sum_dK.clear();
sum_dV.clear();
#else
sum_dK.load(
    Rows<dK_sum_pointer, head_dim>{dK_sum + out * head_dim, head_dim, rows_out},
    row_out,
    lane);
sum_dV.load(
    Rows<dV_sum_pointer, value_dim>{
        dV_sum + out * value_dim, value_dim, rows_out},
    row_out,
    lane);
#endif

const Span part = {piece[3], piece[4]};
const Span columns = intersect(scores.positions.sees_any(all), part);
const Span some = intersect(scores.positions.sees_any(own), part);
const Span every = intersect(scores.positions.sees_all(own), part);
const Ids ids = scores.ids_of_keys(all, lane);

// Those of the first of the heads; each step goes on to the next one.
const int64_t L_step = L_steps[2];
const int64_t D_step = D_steps[2];
const int64_t next_Q = Q_steps[1];
const int64_t next_dO = dO_steps[1];
const int64_t next_L = L_steps[1];
const int64_t next_D = D_steps[1];
at.head = kv_head * group + piece[5];
queries.source = {Q + batch * Q_steps[0] + at.head * next_Q, Q_steps[2], Nq};
cotangents.source = {
    dO + batch * dO_steps[0] + at.head * next_dO, dO_steps[2], Nq};
L_pointer L_head = L + batch * L_steps[0] + at.head * next_L;
D_pointer D_head = D + batch * D_steps[0] + at.head * next_D;
const int end_head = kv_head * group + piece[6];

for (; at.head < end_head; ++at.head) {
  for (int c = columns.lo / (8 * N) * (8 * N); c < columns.hi; c += 8 * N) {
    const Span tile = {c, c + 8 * N};
    if (!overlap(ids, scores.ids_of_queries(tile, lane)) ||
        !scores.any_block(at.head, tile, all, lane)) {
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
    queries.go_to(c);
    cotangents.go_to(c);
#if STAGED == 1
    threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
    Tile S;
    Tile dP;
    clear(S);
    clear(dP);
    queries.add_scores_to(S, keys, live, lane);
    cotangents.add_scores_to(dP, values, live, lane);
    // L and D of the tile's queries, one of 32 a lane.
    float L_of[(N + 3) / 4];
    float D_of[(N + 3) / 4];
    UNROLL for (int k = 0; k < (N + 3) / 4; ++k) {
      const int query = c + 32 * k + lane.index;
      L_of[k] = INFINITY;
      D_of[k] = 0.0f;
      if (32 * k + lane.index < 8 * N && query < Nq) {
        L_of[k] = logsumexp2(L_head[query * L_step]);
        D_of[k] = D_head[query * D_step];
      }
    }
    UNROLL for (int n = 0; n < N; ++n) {
      if (n % 4 != 0) { // so that all fragments ask the same lanes
        L_of[n / 4] = simd_shuffle_rotate_down(L_of[n / 4], 8);
        D_of[n / 4] = simd_shuffle_rotate_down(D_of[n / 4], 8);
      }
      UNROLL for (int e = 0; e < 2; ++e) {
        const ushort of = ushort(lane.column + e);
        const float L_here = simd_shuffle(L_of[n / 4], of);
        const float D_here = simd_shuffle(D_of[n / 4], of);
        UNROLL for (int i = 0; i < R; ++i) {
          const Element x = element(at, c, i, n, e);
          float P = 0.0f;
          float dS = 0.0f;
          if ((seen & bit_of(i, n, e)) != 0) {
            const ElementGradient g = element_gradient(
                scores,
                x,
                S.of[i][n][e],
                dP.of[i][n][e],
                scores.kept_at(x.head, x.query, x.key),
                L_here,
                D_here);
            P = g.P;
            dS = g.dproduct;
          }
          S.of[i][n][e] = P;
          dP.of[i][n][e] = dS;
        }
      }
    }
    cotangents.add_product_to(sum_dV, S, live, lane);
    queries.add_product_to(sum_dK, dP, live, lane);
  }
  queries.source.data += next_Q;
  cotangents.source.data += next_dO;
  L_head += next_L;
  D_head += next_D;
}

UNROLL for (int i = 0; i < R; ++i) {
#if ENDS
  sum_dK.store(dK + out * head_dim, row_out, rows_out, scores.scale, i, lane);
  sum_dV.store(dV + out * value_dim, row_out, rows_out, 1.0f, i, lane);
#else
  sum_dK.store(dK_sum_next + out * head_dim, row_out, rows_out, 1.0f, i, lane);
  sum_dV.store(dV_sum_next + out * value_dim, row_out, rows_out, 1.0f, i, lane);
#endif
}
