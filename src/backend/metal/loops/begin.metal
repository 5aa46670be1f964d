// What a pass over scores knows of its batch entry, `batch`.
const int group = Q_shape[1] / K_shape[1];

Scores scores;
scores.positions = Mask {
  Q_shape[2], K_shape[2], bool(CAUSAL),
      HAS_WINDOW ? geometry[0] : int(unbounded),
      HAS_WINDOW ? geometry[1] : int(unbounded), HAS_CHUNK ? geometry[2] : 0,
#if HAS_PREFIX
      prefix[batch * prefix_strides[0]]
#else
      0
#endif
};
scores.batch = batch;
scores.heads = Q_shape[1];
scores.scale = numbers[0];
scores.scale2 = scores.scale * LOG2E;
#if HAS_SOFTCAP
scores.softcap = numbers[1];
#endif
#if HAS_BIAS
scores.bias = grid_of<bias_pointer>(bias, bias_shape, bias_strides);
#endif
#if HAS_ALIBI
scores.slopes = slopes + (slopes_shape[0] == 1 ? 0 : batch * slopes_strides[0]);
scores.slopes_stride = slopes_shape[1] == 1 ? 0 : slopes_strides[1];
#endif
#if HAS_MASK
scores.mask = grid_of<mask_pointer>(mask, mask_shape, mask_strides);
#endif
#if HAS_BLOCKS
scores.blocks = grid_of<blocks_pointer>(blocks, blocks_shape, blocks_strides);
scores.block_rows = geometry[3];
scores.block_columns = geometry[4];
#endif
#if HAS_SEGMENTS
scores.segments_q = segments_q + batch * segments_q_strides[0];
scores.segments_k = segments_k + batch * segments_k_strides[0];
scores.segments_q_stride = segments_q_strides[1];
scores.segments_k_stride = segments_k_strides[1];
#endif
#if HAS_DROPOUT
scores.seed = uint2(seed[0], seed[seed_strides[0]]);
scores.threshold = uint(geometry[5]);
scores.kept = numbers[2];
#endif
