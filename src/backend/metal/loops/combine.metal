// O and L of rows whose keys were taken in runs: O_runs [runs, B, Hq, Nq,
// value_dim] and L_runs [runs, B, Hq, Nq], a simdgroup a row.
const int rows =
    int(O_runs_sides[1]) * int(O_runs_sides[2]) * int(O_runs_sides[3]);
const int row = int(threadgroup_position_in_grid.x) * simdgroups +
    int(simdgroup_index_in_threadgroup);
if (row < rows) {
  const int runs = int(O_runs_sides[0]);
  float top = -INFINITY;
  for (int r = 0; r < runs; ++r) {
    top = max(top, L_runs[int64_t(r) * rows + row]);
  }
  const float base = top == -INFINITY ? 0.0f : top;
  float l = 0.0f;
  for (int r = 0; r < runs; ++r) {
    l += exp2((L_runs[int64_t(r) * rows + row] - base) * LOG2E);
  }
  for (int f = int(thread_index_in_simdgroup); f < value_dim; f += 32) {
    float sum = 0.0f;
    for (int r = 0; r < runs; ++r) {
      const int64_t at = int64_t(r) * rows + row;
      sum += exp2((L_runs[at] - base) * LOG2E) * O_runs[at * value_dim + f];
    }
    O[int64_t(row) * value_dim + f] = T(l == 0.0f ? 0.0f : sum / l);
  }
  if (thread_index_in_simdgroup == 0) {
    L[row] = l == 0.0f ? -INFINITY : base + log2(l) * LN2;
  }
}
