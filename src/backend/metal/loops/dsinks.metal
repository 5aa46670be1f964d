// The gradient of the sinks [Hq], from L and D: the sink's probability in a row
// is exp(sink - L), and its value 0. A simdgroup a sink.
const int head = int(threadgroup_position_in_grid.x);
const int Nq = L_shape[2];
const float sink = float(sinks[head * sinks_strides[0]]);
float sum = 0.0f;
for (int b = 0; b < L_shape[0]; ++b) {
  for (int i = int(thread_index_in_simdgroup); i < Nq; i += 32) {
    const float l =
        L[b * L_strides[0] + head * L_strides[1] + i * L_strides[2]];
    const float d =
        D[b * D_strides[0] + head * D_strides[1] + i * D_strides[2]];
    sum -= l == -INFINITY ? 0.0f : exp2((sink - l) * LOG2E) * d;
  }
}
sum = simd_sum(sum);
if (thread_index_in_simdgroup == 0) {
  dsinks[head] = dsinks_type(sum);
}
