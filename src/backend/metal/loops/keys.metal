// The keys and values of `kv_head`, which a block of rows runs along.
#if STAGED
threadgroup T staged[staged_elements];
threadgroup T* const stage_K = staged;
threadgroup T* const stage_V = staged + staged_offset;
#else
threadgroup T* const stage_K = nullptr;
threadgroup T* const stage_V = nullptr;
#endif
Along<Rows<K_pointer, head_dim>, head_dim, head_block> keys;
keys.source = {
    K + batch * K_steps[0] + kv_head * K_steps[1], K_steps[2], int(K_sides[2])};
keys.memory = stage_K;
keys.thread_index = thread_index_in_threadgroup;
Along<Rows<V_pointer, value_dim>, value_dim, value_block> values;
values.source = {
    V + batch * V_steps[0] + kv_head * V_steps[1], V_steps[2], int(K_sides[2])};
values.memory = stage_V;
values.thread_index = thread_index_in_threadgroup;
