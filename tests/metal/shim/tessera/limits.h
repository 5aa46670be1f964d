#pragma once

// numeric_limits (section 6.3 of C++'s own, for Metal's types).

namespace metal {

template <typename T>
struct numeric_limits;

#define TESSERA_INTEGER_LIMITS(T, low, high)             \
  template <>                                            \
  struct numeric_limits<T> {                             \
    static constexpr constant bool is_integer = true;    \
    static constexpr constant bool has_infinity = false; \
    static constexpr constant int digits =               \
        8 * (int)sizeof(T) - ((T)-1 < (T)0 ? 1 : 0);     \
    static constexpr T min() {                           \
      return low;                                        \
    }                                                    \
    static constexpr T lowest() {                        \
      return low;                                        \
    }                                                    \
    static constexpr T max() {                           \
      return high;                                       \
    }                                                    \
  };
TESSERA_INTEGER_LIMITS(char, -128, 127)
TESSERA_INTEGER_LIMITS(signed char, -128, 127)
TESSERA_INTEGER_LIMITS(uchar, 0, 255)
TESSERA_INTEGER_LIMITS(short, -32768, 32767)
TESSERA_INTEGER_LIMITS(ushort, 0, 65535)
TESSERA_INTEGER_LIMITS(int, -2147483647 - 1, 2147483647)
TESSERA_INTEGER_LIMITS(uint, 0, 4294967295u)
TESSERA_INTEGER_LIMITS(long, -9223372036854775807l - 1, 9223372036854775807l)
TESSERA_INTEGER_LIMITS(ulong, 0, 18446744073709551615ul)

template <>
struct numeric_limits<bool> {
  static constexpr bool min() {
    return false;
  }
  static constexpr bool lowest() {
    return false;
  }
  static constexpr bool max() {
    return true;
  }
};

#define TESSERA_FLOAT_LIMITS(T, smallest, largest, gap, bits) \
  template <>                                                 \
  struct numeric_limits<T> {                                  \
    static constexpr constant bool is_integer = false;        \
    static constexpr constant bool has_infinity = true;       \
    static constexpr constant int digits = bits;              \
    static constexpr T min() {                                \
      return (T)smallest;                                     \
    }                                                         \
    static constexpr T max() {                                \
      return (T)largest;                                      \
    }                                                         \
    static constexpr T lowest() {                             \
      return (T)(-largest);                                   \
    }                                                         \
    static constexpr T epsilon() {                            \
      return (T)gap;                                          \
    }                                                         \
    static constexpr T infinity() {                           \
      return (T)__builtin_inff();                             \
    }                                                         \
    static constexpr T quiet_NaN() {                          \
      return (T)__builtin_nanf("");                           \
    }                                                         \
  };
TESSERA_FLOAT_LIMITS(float, 0x1p-126f, 0x1.fffffep127f, 0x1p-23f, 24)
TESSERA_FLOAT_LIMITS(half, 0x1p-14f, 65504.0f, 0x1p-10f, 11)
TESSERA_FLOAT_LIMITS(bfloat, 0x1p-126f, 0x1.fep127f, 0x1p-7f, 8)

} // namespace metal
