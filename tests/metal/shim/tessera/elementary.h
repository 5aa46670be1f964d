#pragma once

// The functions that a GPU computes by approximation. Each is a call, so that
// the executor counts them; half and bfloat go through float.

#define TESSERA_UNARY_FUNCTIONS(f)                                          \
  f(exp) f(exp2) f(exp10) f(log) f(log2) f(log10) f(sqrt) f(rsqrt) f(tanh)  \
      f(sin) f(cos) f(tan) f(asin) f(acos) f(atan) f(sinh) f(cosh) f(asinh) \
          f(acosh) f(atanh) f(sinpi) f(cospi) f(tanpi)
#define TESSERA_BINARY_FUNCTIONS(f) f(pow) f(powr) f(atan2) f(fmod)

#define TESSERA_DECLARE(name)                       \
  extern "C" float tessera_##name(float);           \
  TESSERA_FUNC float __metal_##name(float x, int) { \
    return tessera_##name(x);                       \
  }
TESSERA_UNARY_FUNCTIONS(TESSERA_DECLARE)
#undef TESSERA_DECLARE
#define TESSERA_DECLARE(name)                                \
  extern "C" float tessera_##name(float, float);             \
  TESSERA_FUNC float __metal_##name(float x, float y, int) { \
    return tessera_##name(x, y);                             \
  }
TESSERA_BINARY_FUNCTIONS(TESSERA_DECLARE)
#undef TESSERA_DECLARE

#define __METAL_MAYBE_FAST_MATH__ 0
#define __METAL_FAST_MATH__ 1
#define __METAL_PRECISE_MATH__ 2

#define TESSERA_OVERLOADS(name)                                        \
  TESSERA_FUNC float name(float x) {                                   \
    return tessera_##name(x);                                          \
  }                                                                    \
  TESSERA_FUNC half name(half x) {                                     \
    return (half)tessera_##name((float)x);                             \
  }                                                                    \
  template <typename T>                                                \
  TESSERA_FUNC vec<T, 2> name(vec<T, 2> v) {                           \
    return tessera_vector<vec<T, 2>>(name(v.x), name(v.y));            \
  }                                                                    \
  template <typename T>                                                \
  TESSERA_FUNC vec<T, 3> name(vec<T, 3> v) {                           \
    return tessera_vector<vec<T, 3>>(name(v.x), name(v.y), name(v.z)); \
  }                                                                    \
  template <typename T>                                                \
  TESSERA_FUNC vec<T, 4> name(vec<T, 4> v) {                           \
    return tessera_vector<vec<T, 4>>(                                  \
        name(v.x), name(v.y), name(v.z), name(v.w));                   \
  }
#define TESSERA_BINARY_OVERLOADS(name)               \
  TESSERA_FUNC float name(float x, float y) {        \
    return tessera_##name(x, y);                     \
  }                                                  \
  TESSERA_FUNC half name(half x, half y) {           \
    return (half)tessera_##name((float)x, (float)y); \
  }

namespace metal {
TESSERA_UNARY_FUNCTIONS(TESSERA_OVERLOADS)
TESSERA_BINARY_FUNCTIONS(TESSERA_BINARY_OVERLOADS)
namespace fast {
TESSERA_UNARY_FUNCTIONS(TESSERA_OVERLOADS)
TESSERA_BINARY_FUNCTIONS(TESSERA_BINARY_OVERLOADS)
} // namespace fast
namespace precise {
TESSERA_UNARY_FUNCTIONS(TESSERA_OVERLOADS)
TESSERA_BINARY_FUNCTIONS(TESSERA_BINARY_OVERLOADS)
} // namespace precise
} // namespace metal
