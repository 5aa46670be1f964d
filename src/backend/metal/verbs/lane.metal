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

// sum += a * b, of 8x8 matrices. Operands of 16 bits are widened before: on M1
// to M4 float32 products take no longer, and P and dS are not rounded.
inline void multiply_add(thread float2& sum, float2 a, float2 b) {
  simdgroup_matrix<float, 8, 8> A;
  simdgroup_matrix<float, 8, 8> B;
  simdgroup_matrix<float, 8, 8> C;
  reinterpret_cast<thread float2&>(A.thread_elements()) = a;
  reinterpret_cast<thread float2&>(B.thread_elements()) = b;
  reinterpret_cast<thread float2&>(C.thread_elements()) = sum;
  simdgroup_multiply_accumulate(C, A, B, C);
  sum = reinterpret_cast<thread float2&>(C.thread_elements());
}
