// D = rowsum(dO * O) - dL, a simdgroup a row; the cotangent of L, where there
// is one, enters dS = P * (dP - D) in the same place. D is [.., rows of the
// piece].
const int first = piece[0] * M;
const int row = first + int(threadgroup_position_in_grid.x) * M +
    int(simdgroup_index_in_threadgroup);
const int head = piece[1] + int(threadgroup_position_in_grid.y);
const int batch = piece[2] + int(threadgroup_position_in_grid.z);
const int Nq = int(O_sides[2]);
if (row < Nq) {
  const O_pointer o =
      O + batch * O_steps[0] + head * O_steps[1] + row * O_steps[2];
  const dO_pointer g =
      dO + batch * dO_steps[0] + head * dO_steps[1] + row * dO_steps[2];
  float sum = 0.0f;
  for (int f = int(thread_index_in_simdgroup); f < value_dim; f += 32) {
    sum += float(o[f]) * float(g[f]);
  }
  sum = simd_sum(sum);
  if (thread_index_in_simdgroup == 0) {
#if HAS_DL
    sum -= dL[batch * dL_steps[0] + head * dL_steps[1] + row * dL_steps[2]];
#endif
    const int rows_out =
        min(Nq, first + int(threads_per_grid.x) / threads * M) - first;
    const int heads_out = int(threads_per_grid.y);
    const int64_t out = int64_t(threadgroup_position_in_grid.z) * heads_out +
        int(threadgroup_position_in_grid.y);
    D[out * rows_out + row - first] = sum;
  }
}
