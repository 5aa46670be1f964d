// D = rowsum(dO * O) - dL, a simdgroup a row; the cotangent of L, where there
// is one, enters dS = P * (dP - D) in the same place.
const int row = int(threadgroup_position_in_grid.x) * simdgroups +
    int(simdgroup_index_in_threadgroup);
const int head = int(threadgroup_position_in_grid.y);
const int batch = int(threadgroup_position_in_grid.z);
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
    D[(int64_t(batch) * int(O_sides[1]) + head) * Nq + row] = sum;
  }
}
