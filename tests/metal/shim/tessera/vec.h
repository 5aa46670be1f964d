#pragma once

// Vectors (section 2.2) are clang's own. It takes no constructor calls of them,
// so the executor puts tessera_vector<float2>(a, b) in the place of float2(a,
// b).

namespace metal {

template <typename T, int N>
using vec = T __attribute__((ext_vector_type(N)));

template <typename T>
struct tessera_shape {
  typedef T element;
  static constexpr constant int count = 1;
};
template <typename T, int N>
struct tessera_shape<T __attribute__((ext_vector_type(N)))> {
  typedef T element;
  static constexpr constant int count = N;
};

// Packed vectors (section 2.2.3) have the alignment of an element.
template <typename T, int N>
struct packed_vec {
  T elements[N];
  packed_vec() = default;
  packed_vec(vec<T, N> v) {
    for (int i = 0; i < N; ++i)
      elements[i] = v[i];
  }
  operator vec<T, N>() const {
    vec<T, N> v;
    for (int i = 0; i < N; ++i)
      v[i] = elements[i];
    return v;
  }
};

} // namespace metal

#define TESSERA_NAMES(T)                         \
  typedef metal::vec<T, 2> T##2;                 \
  typedef metal::vec<T, 3> T##3;                 \
  typedef metal::vec<T, 4> T##4;                 \
  typedef metal::packed_vec<T, 2> packed_##T##2; \
  typedef metal::packed_vec<T, 3> packed_##T##3; \
  typedef metal::packed_vec<T, 4> packed_##T##4;
TESSERA_NAMES(char)
TESSERA_NAMES(uchar)
TESSERA_NAMES(short)
TESSERA_NAMES(ushort)
TESSERA_NAMES(int)
TESSERA_NAMES(uint)
TESSERA_NAMES(long)
TESSERA_NAMES(ulong)
TESSERA_NAMES(half)
TESSERA_NAMES(bfloat)
TESSERA_NAMES(float)

// The elements of a vector from scalars and shorter vectors.
template <int at, typename V, typename P>
TESSERA_FUNC constexpr void tessera_place(__private V& v, P part) {
  typedef typename metal::tessera_shape<V>::element T;
  constexpr int count = metal::tessera_shape<P>::count;
  if constexpr (count == 1) {
    v[at] = (T)part;
  } else {
    v[at] = (T)part[0];
    v[at + 1] = (T)part[1];
    if constexpr (count > 2)
      v[at + 2] = (T)part[2];
    if constexpr (count > 3)
      v[at + 3] = (T)part[3];
  }
}
template <int at, typename V, typename P, typename... Rest>
TESSERA_FUNC constexpr void tessera_place_all(
    __private V& v, P part, Rest... rest) {
  tessera_place<at>(v, part);
  if constexpr (sizeof...(rest) > 0)
    tessera_place_all<at + metal::tessera_shape<P>::count>(v, rest...);
}
template <typename V, typename... P>
TESSERA_FUNC constexpr V tessera_vector(P... parts) {
  typedef typename metal::tessera_shape<V>::element T;
  constexpr int count = (metal::tessera_shape<P>::count + ... + 0);
  if constexpr (sizeof...(P) == 0) {
    return V{};
  } else if constexpr (sizeof...(P) == 1 && count == 1) {
    return V((T)(parts, ...));
  } else {
    static_assert(
        count == metal::tessera_shape<V>::count,
        "a vector takes as many elements as it has");
    V v;
    tessera_place_all<0>(v, parts...);
    return v;
  }
}

// clang finds no built-in `pointer += object that converts to an integer`.
template <typename P, typename I, typename = metal::enable_if_t<__is_class(I)>>
TESSERA_FUNC constexpr auto operator+=(__private P& p, I i)
    -> decltype(p = p + i) {
  return p = p + i;
}
template <typename P, typename I, typename = metal::enable_if_t<__is_class(I)>>
TESSERA_FUNC constexpr auto operator-=(__private P& p, I i)
    -> decltype(p = p - i) {
  return p = p - i;
}

template <typename To, typename From>
constexpr To as_type(From value) {
  static_assert(sizeof(To) == sizeof(From), "as_type keeps the size");
  return __builtin_bit_cast(To, value);
}
