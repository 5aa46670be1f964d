// The keys and values of `kv_head`, which a block of rows runs along.
#if STAGED
threadgroup T staged[staged_elements];
threadgroup T* const stage_K = staged;
threadgroup T* const stage_V = STAGED == 1 ? staged + staged_offset : staged;
#else
threadgroup T* const stage_K = nullptr;
threadgroup T* const stage_V = nullptr;
#endif
Along<Rows<K_pointer, head_dim>, head_dim, head_block> keys;
keys.source = {
    K + batch * K_steps[0] + kv_head * K_steps[1],
    K_steps[2],
    scores.positions.Nk};
keys.memory = stage_K;
keys.thread_index = thread_index_in_threadgroup;
keys.turn = 0;
Along<Rows<V_pointer, value_dim>, value_dim, value_block> values;
values.source = {
    V + batch * V_steps[0] + kv_head * V_steps[1],
    V_steps[2],
    scores.positions.Nk};
values.memory = stage_V;
values.thread_index = thread_index_in_threadgroup;
values.turn = keys.pieces_of_tile;
