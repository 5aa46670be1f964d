#pragma once

// What the shim calls, for a compiler whose target is a GPU: nothing here is
// ever run, it says what a call takes and gives in registers. AMD's have two
// kinds, a value a lane and one for all lanes, as Apple's do; there the second
// kind holds only what is the same in a whole dispatch ("Apple G13 GPU
// Architecture Reference", uniform registers): buffers' addresses and what is
// read from them at such addresses. So places in the grid and all that is
// computed across lanes count a register a lane here.

extern "C" {

// Numbers of the dispatch, at an address that all lanes know.
ulong tessera_buffer(uint slot) {
  return ((__constant ulong*)__builtin_amdgcn_dispatch_ptr())[64 + slot];
}
ulong tessera_threadgroup_memory(uint declaration, ulong, uint) {
  return 1024 + 32768 * declaration;
}
uint tessera_builtin(uint kind, uint axis) {
  const uint number = kind * 4 + axis;
  if (kind >= 7) // sizes
    return ((__constant uint*)__builtin_amdgcn_dispatch_ptr())[32 + number];
  uint place;
  __asm__("; place %0 %1" : "=v"(place) : "s"(number));
  return place;
}
uint tessera_lane() {
  return tessera_builtin(5, 0);
}

void tessera_threadgroup_barrier(uint) {
  __asm__ volatile("; threadgroup_barrier" ::: "memory");
}
void tessera_simdgroup_barrier(uint) {
  __asm__ volatile("; simdgroup_barrier" ::: "memory");
}

// A lane that is a constant takes no register.
#define TESSERA_SHUFFLE_AS(type)                                       \
  {                                                                    \
    __private type* const x = (__private type*)value;                  \
    if (__builtin_constant_p(lane))                                    \
      __asm__("; shuffle %0 %1 %2" : "+v"(*x) : "s"(lane), "s"(kind)); \
    else                                                               \
      __asm__("; shuffle %0 %1 %2" : "+v"(*x) : "v"(lane), "s"(kind)); \
  }
void tessera_simd_shuffle(
    int kind,
    __private void* __attribute__((noescape)) value,
    uint bytes,
    uint lane) {
  if (bytes == 8)
    TESSERA_SHUFFLE_AS(ulong)
  else if (bytes == 4)
    TESSERA_SHUFFLE_AS(uint)
  else
    TESSERA_SHUFFLE_AS(ushort)
}
#undef TESSERA_SHUFFLE_AS

float tessera_reduce_float(int kind, float x) {
  __asm__("; reduce %0 %1" : "+v"(x) : "s"(kind));
  return x;
}
// Metal reduces in 32 bits what the shim widens.
long tessera_reduce_long(int kind, long value) {
  int x = (int)value;
  __asm__("; reduce %0 %1" : "+v"(x) : "s"(kind));
  return x;
}
ulong tessera_reduce_ulong(int kind, ulong value) {
  uint x = (uint)value;
  __asm__("; reduce %0 %1" : "+v"(x) : "s"(kind));
  return x;
}
ulong tessera_ballot(bool value) {
  uint x = value;
  __asm__("; ballot %0" : "+v"(x));
  return x;
}

// A matrix is two elements a lane: of 16 bits one register, of 32 bits two.
void tessera_matrix_multiply(
    uint types,
    __private void* __attribute__((noescape)) d,
    const __private void* __attribute__((noescape)) a,
    const __private void* __attribute__((noescape)) b,
    const __private void* __attribute__((noescape)) c) {
  const bool narrow_a = (types >> 2 & 3) != 0;
  const bool narrow_b = (types >> 4 & 3) != 0;
  const ulong wide_of_a = narrow_a ? 0 : *(const __private ulong*)a;
  const ulong wide_of_b = narrow_b ? 0 : *(const __private ulong*)b;
  const uint narrow_of_a = narrow_a ? *(const __private uint*)a : 0;
  const uint narrow_of_b = narrow_b ? *(const __private uint*)b : 0;
  ulong sum = (types >> 6) != 0 ? *(const __private uint*)c
                                : *(const __private ulong*)c;
#define TESSERA_MULTIPLY(left, right) \
  __asm__("; multiply %0 %1 %2" : "+v"(sum) : "v"(left), "v"(right))
  if (narrow_a && narrow_b)
    TESSERA_MULTIPLY(narrow_of_a, narrow_of_b);
  else if (narrow_a)
    TESSERA_MULTIPLY(narrow_of_a, wide_of_b);
  else if (narrow_b)
    TESSERA_MULTIPLY(wide_of_a, narrow_of_b);
  else
    TESSERA_MULTIPLY(wide_of_a, wide_of_b);
#undef TESSERA_MULTIPLY
  if ((types & 3) != 0)
    *(__private uint*)d = (uint)sum;
  else
    *(__private ulong*)d = sum;
}
void tessera_matrix_access(int) {}

float tessera_exp2(float x) {
  return __builtin_amdgcn_exp2f(x);
}
float tessera_log2(float x) {
  return __builtin_amdgcn_logf(x);
}
float tessera_tanh(float x) {
  return 1.0f - 2.0f / (tessera_exp2(x * (2 * 1.44269504f)) + 1.0f);
}

} // extern "C"
