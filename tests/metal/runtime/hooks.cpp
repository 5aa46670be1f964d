#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "runtime/machine.h"
#include "runtime/number.h"

// What compiled kernels call: the functions of shim/tessera, and those that
// clang's thread sanitizer puts before memory accesses, of which this is a
// runtime of our own.
namespace {

using tessera::metal::machine;
using tessera::metal::Meeting;
using tessera::metal::Operation;

std::uintptr_t number(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address);
}

void read(const void* address, std::size_t bytes, const void* site) {
  machine->access(number(address), bytes, false, site);
}

void write(const void* address, std::size_t bytes, const void* site) {
  machine->access(number(address), bytes, true, site);
}

float float_of(std::uint64_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::uint64_t reduce(
    int kind, int type, std::uint64_t value, const void* site) {
  Operation operation{Meeting::reduction, site};
  operation.detail =
      static_cast<std::uint64_t>(kind) | static_cast<std::uint64_t>(type) << 8;
  operation.argument = value;
  return machine->meet(operation);
}

} // namespace

extern "C" {

#define SITE __builtin_return_address(0)
#define ACCESS(bytes)                                 \
  void __tsan_read##bytes(const void* p) {            \
    read(p, bytes, SITE);                             \
  }                                                   \
  void __tsan_write##bytes(const void* p) {           \
    write(p, bytes, SITE);                            \
  }                                                   \
  void __tsan_unaligned_read##bytes(const void* p) {  \
    read(p, bytes, SITE);                             \
  }                                                   \
  void __tsan_unaligned_write##bytes(const void* p) { \
    write(p, bytes, SITE);                            \
  }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_init() {}

void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0) {
    read(from, bytes, SITE);
    write(to, bytes, SITE);
  }
  return std::memcpy(to, from, bytes);
}

void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0) {
    read(from, bytes, SITE);
    write(to, bytes, SITE);
  }
  return std::memmove(to, from, bytes);
}

void* __tsan_memset(void* to, int value, std::size_t bytes) {
  if (bytes != 0)
    write(to, bytes, SITE);
  return std::memset(to, value, bytes);
}

void tessera_threadgroup_barrier(std::uint32_t flags) {
  machine->meet({Meeting::threadgroup_barrier, SITE, flags});
}

void tessera_simdgroup_barrier(std::uint32_t flags) {
  machine->meet({Meeting::simdgroup_barrier, SITE, flags});
}

void tessera_simd_shuffle(
    int kind, void* value, std::uint32_t bytes, std::uint32_t lane) {
  Operation operation{Meeting::shuffle, SITE};
  operation.detail =
      static_cast<std::uint64_t>(kind) | static_cast<std::uint64_t>(bytes) << 8;
  operation.argument = lane;
  operation.data[0] = value;
  machine->meet(operation);
}

float tessera_reduce_float(int kind, float value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return float_of(reduce(kind, 0, bits, SITE));
}

std::int64_t tessera_reduce_long(int kind, std::int64_t value) {
  return static_cast<std::int64_t>(
      reduce(kind, 1, static_cast<std::uint64_t>(value), SITE));
}

std::uint64_t tessera_reduce_ulong(int kind, std::uint64_t value) {
  return reduce(kind, 2, value, SITE);
}

std::uint64_t tessera_ballot(bool value) {
  Operation operation{Meeting::ballot, SITE};
  operation.argument = value;
  return machine->meet(operation);
}

std::uint32_t tessera_lane() {
  return machine->lane();
}

void tessera_matrix_multiply(
    std::uint32_t types, void* d, const void* a, const void* b, const void* c) {
  Operation operation{Meeting::matrix, SITE, types};
  operation.data = {
      d, const_cast<void*>(a), const_cast<void*>(b), const_cast<void*>(c)};
  machine->meet(operation);
}

void tessera_matrix_access(int kind) {
  machine->meet(
      {Meeting::matrix_access, SITE, static_cast<std::uint64_t>(kind)});
}

std::uint32_t tessera_atomic_add(std::uint32_t* at, std::uint32_t value) {
  machine->access_atomic(number(at), sizeof value, SITE);
  const std::uint32_t before = *at;
  *at += value;
  return before;
}

std::uint64_t tessera_buffer(std::uint32_t slot) {
  return machine->buffer(slot);
}

std::uint64_t tessera_threadgroup_memory(
    std::uint32_t declaration, std::uint64_t bytes, std::uint32_t alignment) {
  return machine->declare(declaration, bytes, alignment);
}

std::uint32_t tessera_builtin(std::uint32_t kind, std::uint32_t axis) {
  return machine->builtin(kind, axis);
}

#define ELEMENTARY(name, counter, value) \
  float tessera_##name(float x) {        \
    ++machine->counts.counter;           \
    return value;                        \
  }
ELEMENTARY(exp, exponentials, std::exp(x))
ELEMENTARY(exp2, exponentials, std::exp2(x))
ELEMENTARY(exp10, exponentials, static_cast<float>(std::pow(10.0, x)))
ELEMENTARY(log, transcendentals, std::log(x))
ELEMENTARY(log2, transcendentals, std::log2(x))
ELEMENTARY(log10, transcendentals, std::log10(x))
ELEMENTARY(sqrt, transcendentals, std::sqrt(x))
ELEMENTARY(rsqrt, transcendentals, 1.0f / std::sqrt(x))
ELEMENTARY(tanh, transcendentals, std::tanh(x))
ELEMENTARY(sin, transcendentals, std::sin(x))
ELEMENTARY(cos, transcendentals, std::cos(x))
ELEMENTARY(tan, transcendentals, std::tan(x))
ELEMENTARY(asin, transcendentals, std::asin(x))
ELEMENTARY(acos, transcendentals, std::acos(x))
ELEMENTARY(atan, transcendentals, std::atan(x))
ELEMENTARY(sinh, transcendentals, std::sinh(x))
ELEMENTARY(cosh, transcendentals, std::cosh(x))
ELEMENTARY(asinh, transcendentals, std::asinh(x))
ELEMENTARY(acosh, transcendentals, std::acosh(x))
ELEMENTARY(atanh, transcendentals, std::atanh(x))
ELEMENTARY(sinpi, transcendentals, static_cast<float>(std::sin(M_PI* x)))
ELEMENTARY(cospi, transcendentals, static_cast<float>(std::cos(M_PI* x)))
ELEMENTARY(tanpi, transcendentals, static_cast<float>(std::tan(M_PI* x)))

#define ELEMENTARY_TWO(name, value)        \
  float tessera_##name(float x, float y) { \
    ++machine->counts.transcendentals;     \
    return value;                          \
  }
ELEMENTARY_TWO(pow, std::pow(x, y))
ELEMENTARY_TWO(powr, std::pow(x, y))
ELEMENTARY_TWO(atan2, std::atan2(x, y))
ELEMENTARY_TWO(fmod, std::fmod(x, y))

// Conversions that clang leaves to its library. A 16-bit float of either kind
// travels in the same register.
_Float16 __truncsfbf2(float value) {
  return std::bit_cast<_Float16>(tessera::metal::bfloat_bits(value));
}

float tessera_ldexp(float x, int k) {
  return std::ldexp(x, k);
}

float tessera_frexp(float x, int* exponent) {
  return std::frexp(x, exponent);
}

} // extern "C"
