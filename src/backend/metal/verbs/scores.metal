// What stands between a product of Q and K and the softmax.

// An array [batch, heads, queries, keys] by its strides; an axis of 1 is
// broadcast.
template <typename Pointer>
struct Grid {
  Pointer data;
  int64_t strides[4];

  Pointer at(int b, int h, int i, int j) const {
    return data + b * strides[0] + h * strides[1] + i * strides[2] +
        j * strides[3];
  }
};

// A side of an operand: of the 64 bits that the layout has for it, the lower
// half holds all.
inline int side_of(layout_pointer sides, int axis) {
  return *reinterpret_cast<const device int*>(sides + axis);
}

template <typename Pointer, typename Shape, typename Strides>
Grid<Pointer> grid_of(Pointer data, Shape shape, Strides strides) {
  Grid<Pointer> grid;
  grid.data = data;
  for (int a = 0; a < 4; ++a) {
    grid.strides[a] = shape[a] == 1 ? 0 : strides[a];
  }
  return grid;
}

// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// 2011, section 3.4).
inline uint4 philox(uint4 c, uint2 key) {
  for (int round = 0; round < 10; ++round) {
    c = uint4(
        mulhi(0xCD9E8D57u, c.z) ^ c.y ^ key.x,
        0xCD9E8D57u * c.z,
        mulhi(0xD2511F53u, c.x) ^ c.w ^ key.y,
        0xD2511F53u * c.x);
    key += uint2(0x9E3779B9u, 0xBB67AE85u);
  }
  return c;
}

// The least and the greatest of some segment ids.
struct Ids {
  int lo;
  int hi;
};

inline bool overlap(Ids a, Ids b) {
  return a.lo <= b.hi && b.lo <= a.hi;
}

template <typename Pointer>
Ids ids_of(Pointer segments, int64_t stride, Span rows, Lane lane) {
  Ids ids = {0x7fffffff, int(0x80000000u)};
  for (int x = rows.lo + lane.index; x < rows.hi; x += 32) {
    const int id = segments[x * stride];
    ids = {min(ids.lo, id), max(ids.hi, id)};
  }
  return {simd_min(ids.lo), simd_max(ids.hi)};
}

struct Scores {
  Mask positions;
  int batch;
  int heads; // of Q
  float scale;
  float scale2; // scale * log2(e)
#if HAS_SOFTCAP
  float softcap;
#endif
#if HAS_BIAS
  Grid<bias_pointer> bias;
#endif
#if HAS_ALIBI
  slopes_pointer slopes; // of this batch entry
  int64_t slopes_stride;
#endif
#if HAS_MASK
  Grid<mask_pointer> mask;
#endif
#if HAS_BLOCKS
  Grid<blocks_pointer> blocks;
  int block_rows;
  int block_columns;
#endif
#if HAS_SEGMENTS
  segments_q_pointer segments_q; // of this batch entry
  segments_k_pointer segments_k;
  int64_t segments_q_stride;
  int64_t segments_k_stride;
#endif
#if HAS_DROPOUT
  uint2 seed;
  uint threshold; // an element is dropped where its word is below
  float kept;     // 1 / (1 - p)
#endif

  // Whether a query sees a key of its span.
  bool sees(int head, int query, int key) const {
    bool seen = true;
#if HAS_SEGMENTS
    seen = segments_q[query * segments_q_stride] ==
        segments_k[key * segments_k_stride];
#endif
#if HAS_MASK
    seen = seen && *mask.at(batch, head, query, key);
#endif
#if HAS_BLOCKS
    seen = seen &&
        *blocks.at(batch, head, query / block_rows, key / block_columns);
#endif
    return seen;
  }

  // scale * q.k -> the score of the softmax, in units of the logarithm of base
  // 2; `slope` becomes the softcap's derivative.
  float of(
      float product, int head, int query, int key, thread float& slope) const {
#if !(HAS_SOFTCAP || HAS_BIAS || HAS_ALIBI)
    return product * scale2;
#else
    float s = product * scale;
#if HAS_SOFTCAP
    const float y = precise::tanh(s / softcap);
    s = softcap * y;
    slope = 1.0f - y * y;
#endif
#if HAS_BIAS
    s += float(*bias.at(batch, head, query, key));
#endif
#if HAS_ALIBI
    s -= alibi(head) * float(distance(query, key));
#endif
    return s * LOG2E;
#endif
  }

  int distance(int query, int key) const {
    return abs(query + positions.Nk - positions.Nq - key);
  }
#if HAS_ALIBI
  float alibi(int head) const {
    return float(slopes[head * slopes_stride]);
  }
#endif

  // What dropout multiplies the probabilities of a key and the next by; the
  // first is even.
  float2 kept_of(int head, int query, int key) const {
#if HAS_DROPOUT
    const uint4 words = philox(
        uint4(uint(key / 4), uint(query), uint(batch * heads + head), 0), seed);
    const uint2 pair = key % 4 == 0 ? words.xy : words.zw;
    return {pair.x < threshold ? 0.0f : kept, pair.y < threshold ? 0.0f : kept};
#else
    return float2(1.0f);
#endif
  }
  float kept_at(int head, int query, int key) const {
    const float2 pair = kept_of(head, query, key / 2 * 2);
    return key % 2 == 0 ? pair.x : pair.y;
  }

  // What the arrays say of a whole tile, the same for all simdgroups that ask
  // for the same rows: none of it is loaded where no pair can meet.
  Ids ids_of_queries(Span queries, Lane lane) const {
#if HAS_SEGMENTS
    return ids_of(
        segments_q,
        segments_q_stride,
        intersect(queries, {0, positions.Nq}),
        lane);
#else
    return {0, 0};
#endif
  }
  Ids ids_of_keys(Span keys, Lane lane) const {
#if HAS_SEGMENTS
    return ids_of(
        segments_k,
        segments_k_stride,
        intersect(keys, {0, positions.Nk}),
        lane);
#else
    return {0, 0};
#endif
  }
  bool any_block(int head, Span queries, Span keys, Lane lane) const {
#if HAS_BLOCKS
    const Span q = intersect(queries, {0, positions.Nq});
    const Span k = intersect(keys, {0, positions.Nk});
    if (q.empty() || k.empty()) {
      return false;
    }
    const Span i = {q.lo / block_rows, (q.hi - 1) / block_rows + 1};
    const Span j = {k.lo / block_columns, (k.hi - 1) / block_columns + 1};
    bool any = false;
    for (int x = lane.index; x < i.size() * j.size(); x += 32) {
      any = any ||
          *blocks.at(batch, head, i.lo + x / j.size(), j.lo + x % j.size());
    }
    return simd_any(any);
#else
    return true;
#endif
  }
};
