// The gradient of the slopes [B or 1, Hq] from the sums of the rows
// [B, Hq, Nq], a threadgroup a slope.
threadgroup float parts[simdgroups];
const int head = int(threadgroup_position_in_grid.x);
const int own_batch = int(threadgroup_position_in_grid.y);
const int Nq = int(dslope_rows_sides[2]);
const bool one_batch = threads_per_grid.y == 1;
float sum = 0.0f;
for (int b = one_batch ? 0 : own_batch;
     b < (one_batch ? int(dslope_rows_sides[0]) : own_batch + 1);
     ++b) {
  const int64_t row = (int64_t(b) * int(dslope_rows_sides[1]) + head) * Nq;
  for (int i = int(thread_index_in_threadgroup); i < Nq; i += threads) {
    sum += dslope_rows[row + i];
  }
}
sum = sum_of_all(
    sum,
    parts,
    simdgroup_index_in_threadgroup,
    thread_index_in_simdgroup,
    simdgroups);
if (thread_index_in_threadgroup == 0) {
  dslopes[own_batch * int(dslope_rows_sides[1]) + head] = dslopes_type(sum);
}
