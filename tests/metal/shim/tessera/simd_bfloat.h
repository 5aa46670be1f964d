#pragma once

// The compiler's names that MLX's bf16_math.h builds its bfloat overloads from.

TESSERA_FUNC ushort __metal_get_simdgroup_size(ushort) {
  return 32;
}
TESSERA_FUNC ushort __metal_get_thread_index_in_simdgroup(ushort) {
  return (ushort)tessera_lane();
}

#define TESSERA_ALIAS(name)                            \
  template <typename T>                                \
  TESSERA_FUNC T __metal_##name(T data, ushort lane) { \
    return metal::name(data, lane);                    \
  }
TESSERA_ALIAS(simd_broadcast)
TESSERA_ALIAS(simd_shuffle)
TESSERA_ALIAS(simd_shuffle_xor)
TESSERA_ALIAS(simd_shuffle_up)
TESSERA_ALIAS(simd_shuffle_down)
TESSERA_ALIAS(simd_shuffle_rotate_up)
TESSERA_ALIAS(simd_shuffle_rotate_down)
#undef TESSERA_ALIAS
#define TESSERA_ALIAS(name)                                     \
  template <typename T>                                         \
  TESSERA_FUNC T __metal_##name(T a, T b, ushort d, ushort m) { \
    return metal::name(a, b, d, m);                             \
  }
TESSERA_ALIAS(simd_shuffle_and_fill_up)
TESSERA_ALIAS(simd_shuffle_and_fill_down)
#undef TESSERA_ALIAS
#define TESSERA_ALIAS(name)               \
  template <typename T>                   \
  TESSERA_FUNC T __metal_##name(T data) { \
    return metal::name(data);             \
  }
TESSERA_ALIAS(simd_sum)
TESSERA_ALIAS(simd_product)
TESSERA_ALIAS(simd_min)
TESSERA_ALIAS(simd_max)
TESSERA_ALIAS(simd_xor)
TESSERA_ALIAS(simd_prefix_inclusive_sum)
TESSERA_ALIAS(simd_prefix_exclusive_sum)
TESSERA_ALIAS(simd_prefix_inclusive_product)
TESSERA_ALIAS(simd_prefix_exclusive_product)
#undef TESSERA_ALIAS
