#pragma once

// simdgroup_matrix (sections 2.4 and 6.9.3) of 8 x 8. A thread holds two
// neighbours of a row: of lane l, row (l / 4 & 4) + l / 2 % 4, columns from
// (l / 4 & 2) * 2 + l % 2 * 2.

// Element types, as runtime/abi.h numbers them.
template <typename T>
constexpr constant int tessera_element = 0;
template <>
constexpr constant int tessera_element<half> = 1;
template <>
constexpr constant int tessera_element<bfloat> = 2;

extern "C" {
void tessera_matrix_multiply(
    uint types,
    __private void* __attribute__((noescape)) d,
    const __private void* __attribute__((noescape)) a,
    const __private void* __attribute__((noescape)) b,
    const __private void* __attribute__((noescape)) c);
void tessera_matrix_access(int kind);
}

namespace metal {

template <typename T, int Cols, int Rows>
struct simdgroup_matrix {
  static_assert(Cols == 8 && Rows == 8, "simdgroup_matrix is 8 x 8");
  vec<T, 2> elements;

  simdgroup_matrix() = default;
  // A matrix with this on its diagonal.
  explicit simdgroup_matrix(T value) thread {
    const int row = tessera_row(), column = tessera_column();
    elements.x = row == column ? value : T(0);
    elements.y = row == column + 1 ? value : T(0);
  }

  thread vec<T, 2>& thread_elements() thread {
    return elements;
  }
  const thread vec<T, 2>& thread_elements() const thread {
    return elements;
  }

  static int tessera_row() {
    const int lane = (int)tessera_lane();
    return (lane / 4 & 4) + lane / 2 % 4;
  }
  static int tessera_column() {
    const int lane = (int)tessera_lane();
    return (lane / 4 & 2) * 2 + lane % 2 * 2;
  }
};

typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;

template <typename T, int C, int R>
TESSERA_FUNC simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T value) {
  simdgroup_matrix<T, C, R> m;
  m.elements = tessera_vector<vec<T, 2>>(value, value);
  return m;
}

template <typename D, typename A, typename B, typename C>
TESSERA_FUNC void simdgroup_multiply_accumulate(
    thread simdgroup_matrix<D, 8, 8>& d,
    const thread simdgroup_matrix<A, 8, 8>& a,
    const thread simdgroup_matrix<B, 8, 8>& b,
    const thread simdgroup_matrix<C, 8, 8>& c) {
  tessera_matrix_multiply(
      (uint)(tessera_element<D> | tessera_element<A> << 2 | tessera_element<B> << 4 | tessera_element<C> << 6),
      &d.elements,
      &a.elements,
      &b.elements,
      &c.elements);
}
template <typename D, typename A, typename B>
TESSERA_FUNC void simdgroup_multiply(
    thread simdgroup_matrix<D, 8, 8>& d,
    const thread simdgroup_matrix<A, 8, 8>& a,
    const thread simdgroup_matrix<B, 8, 8>& b) {
  const simdgroup_matrix<D, 8, 8> zero =
      make_filled_simdgroup_matrix<D, 8, 8>(D(0));
  simdgroup_multiply_accumulate(d, a, b, zero);
}
template <typename T>
TESSERA_FUNC simdgroup_matrix<T, 8, 8> operator*(
    simdgroup_matrix<T, 8, 8> a, simdgroup_matrix<T, 8, 8> b) {
  simdgroup_matrix<T, 8, 8> d;
  simdgroup_multiply(d, a, b);
  return d;
}

// The origin is (column, row), as Metal's matrices count.
#define TESSERA_LOAD_STORE(space)                                            \
  template <typename T>                                                      \
  TESSERA_FUNC void simdgroup_load(                                          \
      thread simdgroup_matrix<T, 8, 8>& d,                                   \
      const space T* src,                                                    \
      ulong elements_per_row = 8,                                            \
      ulong2 origin = (ulong2)0,                                             \
      bool transpose = false) {                                              \
    tessera_matrix_access(0);                                                \
    const ulong row = (ulong)d.tessera_row(),                                \
                column = (ulong)d.tessera_column();                          \
    const ulong r = origin.y + (transpose ? column : row);                   \
    const ulong c = origin.x + (transpose ? row : column);                   \
    d.elements.x = src[r * elements_per_row + c];                            \
    d.elements.y = src[(r + transpose) * elements_per_row + c + !transpose]; \
  }                                                                          \
  template <typename T>                                                      \
  TESSERA_FUNC void simdgroup_store(                                         \
      simdgroup_matrix<T, 8, 8> a,                                           \
      space T* dst,                                                          \
      ulong elements_per_row = 8,                                            \
      ulong2 origin = (ulong2)0,                                             \
      bool transpose = false) {                                              \
    tessera_matrix_access(1);                                                \
    const ulong row = (ulong)a.tessera_row(),                                \
                column = (ulong)a.tessera_column();                          \
    const ulong r = origin.y + (transpose ? column : row);                   \
    const ulong c = origin.x + (transpose ? row : column);                   \
    dst[r * elements_per_row + c] = a.elements.x;                            \
    dst[(r + transpose) * elements_per_row + c + !transpose] = a.elements.y; \
  }
TESSERA_LOAD_STORE(__global)
TESSERA_LOAD_STORE(__local)

} // namespace metal
