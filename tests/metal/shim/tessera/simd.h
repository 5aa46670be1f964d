#pragma once

// SIMD-group functions and synchronisation (sections 6.9.1 and 6.9.2). Every
// thread of a simdgroup meets in the executor, which then computes for all.

// What the executor tells apart; runtime/abi.h has the same numbers.
enum tessera_reduction {
  tessera_sum,
  tessera_product,
  tessera_min,
  tessera_max,
  tessera_and,
  tessera_or,
  tessera_xor,
  tessera_inclusive_sum,
  tessera_exclusive_sum,
  tessera_inclusive_product,
  tessera_exclusive_product
};
enum tessera_shuffle {
  tessera_index,
  tessera_xor_lane,
  tessera_up,
  tessera_down,
  tessera_rotate_up,
  tessera_rotate_down
};

extern "C" {
void tessera_threadgroup_barrier(uint flags);
void tessera_simdgroup_barrier(uint flags);
void tessera_simd_shuffle(
    int kind,
    __private void* __attribute__((noescape)) value,
    uint bytes,
    uint lane);
float tessera_reduce_float(int kind, float value);
long tessera_reduce_long(int kind, long value);
ulong tessera_reduce_ulong(int kind, ulong value);
ulong tessera_ballot(bool value);
uint tessera_lane();
}

namespace metal {

enum class mem_flags : uint {
  mem_none = 0,
  mem_device = 1,
  mem_threadgroup = 2,
  mem_texture = 4,
  mem_threadgroup_imageblock = 8
};
TESSERA_FUNC constexpr mem_flags operator|(mem_flags a, mem_flags b) {
  return (mem_flags)((uint)a | (uint)b);
}

TESSERA_FUNC void threadgroup_barrier(mem_flags flags) {
  tessera_threadgroup_barrier((uint)flags);
}
TESSERA_FUNC void simdgroup_barrier(mem_flags flags) {
  tessera_simdgroup_barrier((uint)flags);
}

#define TESSERA_SHUFFLE(name, kind)                     \
  template <typename T>                                 \
  TESSERA_FUNC T name(T data, ushort lane) {            \
    tessera_simd_shuffle(kind, &data, sizeof(T), lane); \
    return data;                                        \
  }
TESSERA_SHUFFLE(simd_shuffle, tessera_index)
TESSERA_SHUFFLE(simd_broadcast, tessera_index)
TESSERA_SHUFFLE(simd_shuffle_xor, tessera_xor_lane)
TESSERA_SHUFFLE(simd_shuffle_up, tessera_up)
TESSERA_SHUFFLE(simd_shuffle_down, tessera_down)
TESSERA_SHUFFLE(simd_shuffle_rotate_up, tessera_rotate_up)
TESSERA_SHUFFLE(simd_shuffle_rotate_down, tessera_rotate_down)

template <typename T>
TESSERA_FUNC T simd_broadcast_first(T data) {
  tessera_simd_shuffle(tessera_index, &data, sizeof(T), 0);
  return data;
}
template <typename T>
TESSERA_FUNC T
simd_shuffle_and_fill_up(T data, T filling, ushort delta, ushort modulo = 32) {
  const T up = simd_shuffle(
      data,
      (ushort)((tessera_lane() - delta) % modulo + tessera_lane() / modulo * modulo));
  const T fill = simd_shuffle(
      filling,
      (ushort)((tessera_lane() - delta) % modulo + tessera_lane() / modulo * modulo));
  return tessera_lane() % modulo >= delta ? up : fill;
}
template <typename T>
TESSERA_FUNC T simd_shuffle_and_fill_down(
    T data, T filling, ushort delta, ushort modulo = 32) {
  const T down = simd_shuffle(
      data,
      (ushort)((tessera_lane() + delta) % modulo + tessera_lane() / modulo * modulo));
  const T fill = simd_shuffle(
      filling,
      (ushort)((tessera_lane() + delta) % modulo + tessera_lane() / modulo * modulo));
  return tessera_lane() % modulo + delta < modulo ? down : fill;
}

template <typename T>
TESSERA_FUNC T tessera_reduce(int kind, T value) {
  if constexpr (!is_integral_v<T>)
    return (T)tessera_reduce_float(kind, (float)value);
  else if constexpr (is_signed_v<T>)
    return (T)tessera_reduce_long(kind, value);
  else
    return (T)tessera_reduce_ulong(kind, value);
}
#define TESSERA_REDUCE(name, kind)                          \
  template <typename T>                                     \
  TESSERA_FUNC T name(T data) {                             \
    return tessera_reduce(kind, data);                      \
  }                                                         \
  template <typename T>                                     \
  TESSERA_FUNC vec<T, 2> name(vec<T, 2> v) {                \
    return tessera_vector<vec<T, 2>>(name(v.x), name(v.y)); \
  }                                                         \
  template <typename T>                                     \
  TESSERA_FUNC vec<T, 4> name(vec<T, 4> v) {                \
    return tessera_vector<vec<T, 4>>(                       \
        name(v.x), name(v.y), name(v.z), name(v.w));        \
  }
TESSERA_REDUCE(simd_sum, tessera_sum)
TESSERA_REDUCE(simd_product, tessera_product)
TESSERA_REDUCE(simd_min, tessera_min)
TESSERA_REDUCE(simd_max, tessera_max)
TESSERA_REDUCE(simd_and, tessera_and)
TESSERA_REDUCE(simd_or, tessera_or)
TESSERA_REDUCE(simd_xor, tessera_xor)
TESSERA_REDUCE(simd_prefix_inclusive_sum, tessera_inclusive_sum)
TESSERA_REDUCE(simd_prefix_exclusive_sum, tessera_exclusive_sum)
TESSERA_REDUCE(simd_prefix_inclusive_product, tessera_inclusive_product)
TESSERA_REDUCE(simd_prefix_exclusive_product, tessera_exclusive_product)

// A vote holds a bit a thread.
struct simd_vote {
  typedef ulong vote_t;
  vote_t bits;
  explicit constexpr simd_vote(vote_t v = 0) : bits(v) {}
  explicit constexpr operator vote_t() const {
    return bits;
  }
  bool all() const {
    return bits == tessera_ballot(true);
  }
  bool any() const {
    return bits != 0;
  }
};
TESSERA_FUNC simd_vote simd_ballot(bool value) {
  return simd_vote(tessera_ballot(value));
}
TESSERA_FUNC bool simd_any(bool value) {
  return tessera_ballot(value) != 0;
}
TESSERA_FUNC bool simd_all(bool value) {
  return tessera_ballot(!value) == 0;
}
TESSERA_FUNC bool simd_is_first() {
  return tessera_lane() == 0;
}

} // namespace metal
