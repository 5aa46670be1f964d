// O and L of a block of rows. Beside the last axis, O is [.., rows of the
// piece, value_dim].
const Lane lane = lane_of(thread_index_in_simdgroup);
const int batch = piece[2] + int(threadgroup_position_in_grid.z);
#include "begin.metal"
const int Nq = scores.positions.Nq;
const int rows = packed_rows ? group * Nq : Nq;
const int blocks_of_rows = (rows + M - 1) / M;
const int first_block = piece[0];
const int run_here =
    IN_RUNS ? int(threadgroup_position_in_grid.x) / blocks_of_rows : 0;
const int run = IN_RUNS ? piece[6] + run_here : 0;
const int block = packed_rows
    ? int(threadgroup_position_in_grid.x) % blocks_of_rows
    : first_block + int(threadgroup_position_in_grid.x);
const int y = piece[1] + int(threadgroup_position_in_grid.y);
const int kv_head = packed_rows ? y : y / group;

Place at = {
    packed_rows ? y * group : y,
    M* block + int(simdgroup_index_in_threadgroup) * 8 * R,
    rows,
    Nq,
    lane};

// The queries of the threadgroup and of this simdgroup.
const Span all = intersect(
    {packed_rows ? 0 : M * block, packed_rows ? Nq : M* block + M}, {0, Nq});
const Span own = intersect(
    {packed_rows ? 0 : at.first, packed_rows ? Nq : at.first + 8 * R}, {0, Nq});
const bool full = at.first + 8 * R <= rows;

Own<Rows<Q_pointer, head_dim, bool(packed_rows)>, head_dim, bool(hold_own)>
    queries;
const int64_t head_step = Q_steps[1];
queries.source = {
    Q + batch * Q_steps[0] + at.head * head_step,
    Q_steps[2],
    rows,
    Nq,
    head_step};
queries.first = at.first;
queries.load(lane);

#include "keys.metal"

#if ENDS && IN_RUNS
device float* const O_to = O_runs;
device float* const L_to = L_runs;
#elif ENDS
device T* const O_to = O;
device float* const L_to = L;
#endif
// The rows of this head in the piece's outputs.
const int heads_out =
    packed_rows ? int(threads_per_grid.y) * group : int(threads_per_grid.y);
const int head_out = packed_rows ? int(threadgroup_position_in_grid.y) * group
                                 : int(threadgroup_position_in_grid.y);
const int rows_out = packed_rows
    ? Nq
    : min(Nq, first_block* M + int(threads_per_grid.x) / threads * M) -
        M * first_block;
const int64_t out = (int64_t(
                         int(threadgroup_position_in_grid.z) +
                         run_here * int(threads_per_grid.z)) *
                         heads_out +
                     head_out) *
    rows_out;
const int row_out = packed_rows ? at.first : at.first - M * first_block;
const int limit_out = packed_rows ? rows : rows_out;

#if SPILLED == 1
threadgroup float spill[simdgroups * slots_of_sum];
Sum<threadgroup float*, value_dim, true> sum;
sum.slots =
    spill + int(simdgroup_index_in_threadgroup) * slots_of_sum + lane.index;
#else
Sum<thread float*, value_dim, false> sum;
#endif
Softmax softmax;
#if BEGINS
sum.clear();
UNROLL for (int i = 0; i < R; ++i) {
  softmax.m[i] = -INFINITY;
  softmax.l[i] = 0.0f;
#if HAS_SINKS
  // Of the rows' runs of keys the first one holds the sink.
  const int head =
      packed_rows ? at.head + (at.first + 8 * i + lane.row) / Nq : at.head;
  if (run == 0 && at.first + 8 * i + lane.row < rows) {
    softmax.m[i] = float(sinks[head * sinks_steps[0]]) * LOG2E;
    softmax.l[i] = lane.column == 0 && softmax.m[i] > -INFINITY ? 1.0f : 0.0f;
  }
#endif
}
#else
sum.load(
    Rows<O_sum_pointer, value_dim>{
        O_sum + out * value_dim, value_dim, limit_out},
    row_out,
    lane);
UNROLL for (int i = 0; i < R; ++i) {
  const int r = row_out + 8 * i + lane.row;
  softmax.m[i] = r < limit_out ? m_sum[out + r] : -INFINITY;
  softmax.l[i] = r < limit_out ? l_sum[(out + r) * 4 + lane.column / 2] : 0.0f;
}
#endif

const Span part = {
    IN_RUNS ? run * piece[5] : piece[3],
    IN_RUNS ? run* piece[5] + piece[5] : piece[4]};
const Span columns = intersect(scores.positions.seen_by_any(all), part);
const Span some = intersect(scores.positions.seen_by_any(own), part);
const Span every = intersect(scores.positions.seen_by_all(own), part);
const Ids ids = scores.ids_of_queries(all, lane);

bool fresh = BEGINS; // what is added up is 0
const int pieces_of_tile = keys.pieces_of_tile + values.pieces_of_tile;
const int start = columns.lo / (8 * N) * (8 * N);
for (int c = start; c < columns.hi; c += 8 * N) {
  const Span tile = {c, c + 8 * N};
  if (!overlap(ids, scores.ids_of_keys(tile, lane)) ||
      !(packed_rows || scores.any_block(at.head, all, tile, lane))) {
    continue;
  }
  uint seen = 0;
  if (!intersect(some, tile).empty()) {
    seen = seen_bits(scores, at, c, full && every.contains(tile));
  }
  const Span live = within(some, c, seen);
#if STAGED
  // What the last tile left is read by all, before the next is written. Of an
  // even number of pieces the next one lies in the other half.
  if (c > start && (STAGED == 1 || pieces_of_tile % 2 != 0)) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
#endif
  keys.go_to(c);
  values.go_to(c);
#if STAGED == 1
  threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
  Tile S;
  clear(S);
  keys.add_scores_to(S, queries, live, lane);
  if (!live.empty()) {
    finish_scores(S, scores, at, c, live, seen);
    UNROLL for (int i = 0; i < R; ++i) {
      const float factor = softmax.fold(S, i, live);
      if (!fresh) {
        sum.scale(i, factor);
      }
    }
    fresh = false;
    drop(S, scores, at, c);
  }
  values.add_product_to(sum, S, live, lane);
}

UNROLL for (int i = 0; i < R; ++i) {
  const int r = row_out + 8 * i + lane.row;
#if ENDS
  const float l = row_sum(softmax.l[i]);
  sum.store(
      O_to + out * value_dim,
      row_out,
      limit_out,
      l == 0.0f ? 0.0f : 1.0f / l,
      i,
      lane);
  if (lane.column == 0 && r < limit_out) {
    L_to[out + r] = l == 0.0f ? -INFINITY : (softmax.m[i] + log2(l)) * LN2;
  }
#else
  sum.store(O_sum_next + out * value_dim, row_out, limit_out, 1.0f, i, lane);
  if (r < limit_out) {
    l_sum_next[(out + r) * 4 + lane.column / 2] = softmax.l[i];
    if (lane.column == 0) {
      m_sum_next[out + r] = softmax.m[i];
    }
  }
#endif
}
