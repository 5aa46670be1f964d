// What a pass over scores knows of its batch entry, `batch`.
Scores scores;
scores.positions = Mask {
  side_of(Q_sides, 2), side_of(K_sides, 2), bool(CAUSAL),
      HAS_WINDOW ? geometry[0] : int(unbounded),
      HAS_WINDOW ? geometry[1] : int(unbounded), HAS_CHUNK ? geometry[2] : 0,
#if HAS_PREFIX
      prefix[batch * prefix_steps[0]]
#else
      0
#endif
};
scores.batch = batch;
scores.heads = side_of(Q_sides, 1);
const int group = scores.heads / side_of(K_sides, 1);
scores.scale = numbers[0];
scores.scale2 = scores.scale * LOG2E;
#if HAS_SOFTCAP
scores.softcap = numbers[1];
#endif
#if HAS_BIAS
scores.bias = grid_of<bias_pointer>(bias, bias_sides, bias_steps);
#endif
#if HAS_ALIBI
scores.slopes = slopes + (slopes_sides[0] == 1 ? 0 : batch * slopes_steps[0]);
scores.slopes_stride = slopes_sides[1] == 1 ? 0 : slopes_steps[1];
#endif
#if HAS_MASK
scores.mask = grid_of<mask_pointer>(mask, mask_sides, mask_steps);
#endif
#if HAS_BLOCKS
scores.blocks = grid_of<blocks_pointer>(blocks, blocks_sides, blocks_steps);
scores.block_rows = geometry[3];
scores.block_columns = geometry[4];
#endif
#if HAS_SEGMENTS
scores.segments_q = segments_q + batch * segments_q_steps[0];
scores.segments_k = segments_k + batch * segments_k_steps[0];
scores.segments_q_stride = segments_q_steps[1];
scores.segments_k_stride = segments_k_steps[1];
#endif
#if HAS_DROPOUT
scores.seed = uint2(seed[0], seed[seed_steps[0]]);
scores.threshold = uint(geometry[5]);
scores.kept = numbers[2];
#endif
