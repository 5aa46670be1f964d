#pragma once

// Integer functions (section 6.3).

namespace metal {

#define TESSERA_SIGNED_ABS(T)         \
  TESSERA_FUNC constexpr T abs(T x) { \
    return (T)(x < 0 ? -x : x);       \
  }
TESSERA_SIGNED_ABS(char)
TESSERA_SIGNED_ABS(short)
TESSERA_SIGNED_ABS(int)
TESSERA_SIGNED_ABS(long)

TESSERA_FUNC int mulhi(int x, int y) {
  return (int)(((long)x * y) >> 32);
}
TESSERA_FUNC uint mulhi(uint x, uint y) {
  return (uint)(((ulong)x * y) >> 32);
}
TESSERA_FUNC uint popcount(uint x) {
  return (uint)__builtin_popcount(x);
}
TESSERA_FUNC int popcount(int x) {
  return __builtin_popcount((uint)x);
}
TESSERA_FUNC ulong popcount(ulong x) {
  return (ulong)__builtin_popcountl(x);
}
TESSERA_FUNC uint clz(uint x) {
  return x == 0 ? 32u : (uint)__builtin_clz(x);
}
TESSERA_FUNC uint ctz(uint x) {
  return x == 0 ? 32u : (uint)__builtin_ctz(x);
}
TESSERA_FUNC uint rotate(uint x, uint n) {
  return (x << (n & 31u)) | (x >> ((32u - n) & 31u));
}

} // namespace metal
