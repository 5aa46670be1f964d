// The gradient of the sinks [Hq], from L and D: the sink's probability in a row
// is exp(sink - L), and its value 0. A threadgroup a sink.
threadgroup float parts[simdgroups];
const int head = int(threadgroup_position_in_grid.x);
const int Nq = int(L_sides[2]);
const float sink = float(sinks[head * sinks_steps[0]]);
float sum = 0.0f;
for (int b = 0; b < int(L_sides[0]); ++b) {
  for (int i = int(thread_index_in_threadgroup); i < Nq; i += threads) {
    const float l = L[b * L_steps[0] + head * L_steps[1] + i * L_steps[2]];
    const float d = D[b * D_steps[0] + head * D_steps[1] + i * D_steps[2]];
    sum -= l == -INFINITY ? 0.0f : exp2((sink - l) * LOG2E) * d;
  }
}
sum = sum_of_all(
    sum,
    parts,
    simdgroup_index_in_threadgroup,
    thread_index_in_simdgroup,
    simdgroups);
if (thread_index_in_threadgroup == 0) {
  dsinks[head] = dsinks_type(sum);
}
