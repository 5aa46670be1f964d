#pragma once

// Common, relational and exact math functions (sections 6.2, 6.5, 6.6). Where
// one argument is NaN, min and max give the other.

#define TESSERA_EXACT_UNARY(f)                                              \
  f(fabs, fabs) f(floor, floor) f(ceil, ceil) f(trunc, trunc) f(rint, rint) \
      f(round, round)
#define TESSERA_EXACT_BINARY(f) \
  f(fmin, fmin) f(fmax, fmax) f(copysign, copysign) f(nextafter, nextafter)

#define TESSERA_DECLARE(name, builtin)                  \
  TESSERA_FUNC float __metal_##name(float x, int = 0) { \
    return __builtin_##builtin##f(x);                   \
  }
TESSERA_EXACT_UNARY(TESSERA_DECLARE)
#undef TESSERA_DECLARE
#define TESSERA_DECLARE(name, builtin)                           \
  TESSERA_FUNC float __metal_##name(float x, float y, int = 0) { \
    return __builtin_##builtin##f(x, y);                         \
  }
TESSERA_EXACT_BINARY(TESSERA_DECLARE)
#undef TESSERA_DECLARE

TESSERA_FUNC float __metal_fma(float x, float y, float z) {
  return __builtin_fmaf(x, y, z);
}
TESSERA_FUNC float __metal_divide(float x, float y, int) {
  return x / y;
}
TESSERA_FUNC float __metal_fract(float x, int) {
  return __builtin_fminf(x - __builtin_floorf(x), 0x1.fffffep-1f);
}
extern "C" float tessera_ldexp(float, int);
extern "C" float tessera_frexp(float, __private int* __attribute__((noescape)));
TESSERA_FUNC float __metal_ldexp(float x, int k, int) {
  return tessera_ldexp(x, k);
}
TESSERA_FUNC float __metal_frexp(float x, __private int* exponent) {
  return tessera_frexp(x, exponent);
}
TESSERA_FUNC float __metal_fmin3(float x, float y, float z, int) {
  return __builtin_fminf(x, __builtin_fminf(y, z));
}
TESSERA_FUNC float __metal_fmax3(float x, float y, float z, int) {
  return __builtin_fmaxf(x, __builtin_fmaxf(y, z));
}
TESSERA_FUNC float __metal_fmedian3(float x, float y, float z, int) {
  return __builtin_fmaxf(
      __builtin_fminf(x, y), __builtin_fminf(__builtin_fmaxf(x, y), z));
}

#define TESSERA_OVERLOADS_EXACT(name, builtin)              \
  TESSERA_FUNC float name(float x) {                        \
    return __builtin_##builtin##f(x);                       \
  }                                                         \
  TESSERA_FUNC half name(half x) {                          \
    return (half)__builtin_##builtin##f((float)x);          \
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
#define TESSERA_OVERLOADS_EXACT_BINARY(name, builtin)        \
  TESSERA_FUNC float name(float x, float y) {                \
    return __builtin_##builtin##f(x, y);                     \
  }                                                          \
  TESSERA_FUNC half name(half x, half y) {                   \
    return (half)__builtin_##builtin##f((float)x, (float)y); \
  }

// Overloads of one integer type or float after another: a call with mixed types
// is ambiguous, as it is in Metal.
#define TESSERA_INTEGER_TYPES(f) \
  f(char) f(uchar) f(short) f(ushort) f(int) f(uint) f(long) f(ulong)
#define TESSERA_MIN_MAX(T)                             \
  TESSERA_FUNC constexpr T min(T x, T y) {             \
    return y < x ? y : x;                              \
  }                                                    \
  TESSERA_FUNC constexpr T max(T x, T y) {             \
    return x < y ? y : x;                              \
  }                                                    \
  TESSERA_FUNC constexpr T clamp(T x, T low, T high) { \
    return min(max(x, low), high);                     \
  }
#define TESSERA_FLOAT_MIN_MAX(T)                      \
  TESSERA_FUNC T min(T x, T y) {                      \
    return (T)__builtin_fminf((float)x, (float)y);    \
  }                                                   \
  TESSERA_FUNC T max(T x, T y) {                      \
    return (T)__builtin_fmaxf((float)x, (float)y);    \
  }                                                   \
  TESSERA_FUNC T min3(T x, T y, T z) {                \
    return min(x, min(y, z));                         \
  }                                                   \
  TESSERA_FUNC T max3(T x, T y, T z) {                \
    return max(x, max(y, z));                         \
  }                                                   \
  TESSERA_FUNC T clamp(T x, T low, T high) {          \
    return min(max(x, low), high);                    \
  }                                                   \
  TESSERA_FUNC T saturate(T x) {                      \
    return clamp(x, (T)0, (T)1);                      \
  }                                                   \
  TESSERA_FUNC T fract(T x) {                         \
    return (T)__metal_fract((float)x, 0);             \
  }                                                   \
  TESSERA_FUNC T sign(T x) {                          \
    return x > (T)0 ? (T)1 : x < (T)0 ? (T)-1 : (T)0; \
  }                                                   \
  TESSERA_FUNC T mix(T x, T y, T a) {                 \
    return x + (y - x) * a;                           \
  }                                                   \
  TESSERA_FUNC T abs(T x) {                           \
    return (T)__builtin_fabsf((float)x);              \
  }                                                   \
  TESSERA_FUNC T divide(T x, T y) {                   \
    return x / y;                                     \
  }                                                   \
  TESSERA_FUNC T ldexp(T x, int k) {                  \
    return (T)tessera_ldexp((float)x, k);             \
  }

namespace metal {

TESSERA_EXACT_UNARY(TESSERA_OVERLOADS_EXACT)
TESSERA_EXACT_BINARY(TESSERA_OVERLOADS_EXACT_BINARY)
TESSERA_INTEGER_TYPES(TESSERA_MIN_MAX)
TESSERA_FLOAT_MIN_MAX(float)
TESSERA_FLOAT_MIN_MAX(half)

TESSERA_FUNC float fma(float x, float y, float z) {
  return __builtin_fmaf(x, y, z);
}
TESSERA_FUNC half fma(half x, half y, half z) {
  return (half)__builtin_fma((double)x, (double)y, (double)z);
}

template <typename T>
TESSERA_FUNC vec<T, 2> fma(vec<T, 2> x, vec<T, 2> y, vec<T, 2> z) {
  return tessera_vector<vec<T, 2>>(fma(x.x, y.x, z.x), fma(x.y, y.y, z.y));
}
template <typename T>
TESSERA_FUNC vec<T, 4> fma(vec<T, 4> x, vec<T, 4> y, vec<T, 4> z) {
  return tessera_vector<vec<T, 4>>(
      fma(x.x, y.x, z.x),
      fma(x.y, y.y, z.y),
      fma(x.z, y.z, z.z),
      fma(x.w, y.w, z.w));
}
#define TESSERA_VECTOR_BINARY(name)                                      \
  template <typename T>                                                  \
  TESSERA_FUNC vec<T, 2> name(vec<T, 2> a, vec<T, 2> b) {                \
    return tessera_vector<vec<T, 2>>(name(a.x, b.x), name(a.y, b.y));    \
  }                                                                      \
  template <typename T>                                                  \
  TESSERA_FUNC vec<T, 3> name(vec<T, 3> a, vec<T, 3> b) {                \
    return tessera_vector<vec<T, 3>>(                                    \
        name(a.x, b.x), name(a.y, b.y), name(a.z, b.z));                 \
  }                                                                      \
  template <typename T>                                                  \
  TESSERA_FUNC vec<T, 4> name(vec<T, 4> a, vec<T, 4> b) {                \
    return tessera_vector<vec<T, 4>>(                                    \
        name(a.x, b.x), name(a.y, b.y), name(a.z, b.z), name(a.w, b.w)); \
  }
TESSERA_VECTOR_BINARY(min)
TESSERA_VECTOR_BINARY(max)

template <typename T>
TESSERA_FUNC T dot(vec<T, 2> a, vec<T, 2> b) {
  return a.x * b.x + a.y * b.y;
}
template <typename T>
TESSERA_FUNC T dot(vec<T, 3> a, vec<T, 3> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <typename T>
TESSERA_FUNC T dot(vec<T, 4> a, vec<T, 4> b) {
  return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

// Gives b where the condition holds.
template <typename T>
TESSERA_FUNC constexpr T select(T a, T b, bool condition) {
  return condition ? b : a;
}
TESSERA_FUNC bool isnan(float x) {
  return __builtin_isnan(x);
}
TESSERA_FUNC bool isinf(float x) {
  return __builtin_isinf(x);
}
TESSERA_FUNC bool isfinite(float x) {
  return __builtin_isfinite(x);
}
TESSERA_FUNC bool signbit(float x) {
  return __builtin_signbitf(x);
}

// The variants of these differ in speed alone.
namespace fast {
using metal::abs;
using metal::ceil;
using metal::clamp;
using metal::divide;
using metal::fabs;
using metal::floor;
using metal::fma;
using metal::fmax;
using metal::fmin;
using metal::max;
using metal::min;
} // namespace fast
namespace precise {
using metal::abs;
using metal::ceil;
using metal::clamp;
using metal::divide;
using metal::fabs;
using metal::floor;
using metal::fma;
using metal::fmax;
using metal::fmin;
using metal::max;
using metal::min;
} // namespace precise

} // namespace metal
