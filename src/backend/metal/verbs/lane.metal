#define LOG2E 1.44269504088896340736f
#define LN2 0.69314718055994530942f

// How 32 lanes hold an 8x8 matrix: each two neighbours of one row, so that a
// row lies in the four lanes that differ in bits 0 and 3.
struct Lane {
  short row;
  short column;
  ushort index;
};

inline Lane lane_of(uint index) {
  const short quad = short(index / 4);
  return {
      short((quad & 4) + (index / 2) % 4),
      short((quad & 2) * 2 + (index % 2) * 2),
      ushort(index)};
}

inline float row_max(float x) {
  x = max(x, simd_shuffle_xor(x, 1));
  return max(x, simd_shuffle_xor(x, 8));
}

inline float row_sum(float x) {
  x += simd_shuffle_xor(x, 1);
  return x + simd_shuffle_xor(x, 8);
}

// Of all rows, for the columns that the lane holds.
inline float column_sum(float x) {
  x += simd_shuffle_xor(x, 2);
  x += simd_shuffle_xor(x, 4);
  return x + simd_shuffle_xor(x, 16);
}

// Of all threads of a threadgroup, in the order of its simdgroups; `parts`
// holds a number for each.
inline float sum_of_all(
    float x, threadgroup float* parts, uint simdgroup, uint lane, int count) {
  x = simd_sum(x);
  if (lane == 0) {
    parts[simdgroup] = x;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  x = 0.0f;
  for (int i = 0; i < count; ++i) {
    x += parts[i];
  }
  return x;
}

// sum += a * b, of 8x8 matrices. An operand of 16 bits is not widened: the
// products are exact in float32 anyhow, and it takes half the registers. P and
// dS are of float32, and not rounded.
template <typename A, typename B>
inline void multiply_add(thread float2& sum, vec<A, 2> a, vec<B, 2> b) {
  simdgroup_matrix<A, 8, 8> left;
  simdgroup_matrix<B, 8, 8> right;
  simdgroup_matrix<float, 8, 8> total;
  reinterpret_cast<thread vec<A, 2>&>(left.thread_elements()) = a;
  reinterpret_cast<thread vec<B, 2>&>(right.thread_elements()) = b;
  reinterpret_cast<thread float2&>(total.thread_elements()) = sum;
  simdgroup_multiply_accumulate(total, left, right, total);
  sum = reinterpret_cast<thread float2&>(total.thread_elements());
}
