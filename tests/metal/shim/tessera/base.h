#pragma once

// Words of the language (section 4) and scalar types (section 2.1).

#define __METAL__ 1
#define __METAL_VERSION__ 310

#define device __global
#define constant __constant
#define thread __private

// OpenCL's own words are ordinary names in Metal.
#define global tessera_global
#define local tessera_local
#define private tessera_private
#define generic tessera_generic
#define pipe tessera_pipe
#define atomic_uint tessera_atomic_uint

#pragma OPENCL EXTENSION cl_khr_fp16 : enable

#define METAL_FUNC inline __attribute__((always_inline))
#define TESSERA_FUNC static inline __attribute__((always_inline))

// A function constant (section 5.8.1) is declared and given its value by the
// attribute: [[function_constant(7)]] becomes [[ ]] = true; [[ ]]. One that the
// launch sets no value for stays an attribute, and clang says that the constant
// has no value. Of parameters it only says whether they are there.
#define function_constant(name) TESSERA_FUNCTION_CONSTANT(name)
#define TESSERA_FUNCTION_CONSTANT(name) tessera_constant_##name

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
// Arithmetic between two bfloats rounds to one. That a float becomes no bfloat
// by itself is left to a warning of clang.
typedef __bf16 bfloat;
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;

#define NAN __builtin_nanf("")
#define INFINITY __builtin_inff()
#define HUGE_VALF __builtin_inff()
#define MAXFLOAT 3.40282346638528859812e+38f
#define FLT_MAX 3.40282346638528859812e+38f
#define FLT_MIN 1.17549435082228750797e-38f
#define FLT_EPSILON 1.1920928955078125e-7f
#define HALF_MAX 6.5504e4h
#define INT_MAX 2147483647
#define INT_MIN (-2147483647 - 1)
#define UINT_MAX 4294967295u
#define M_E_F 2.71828182845904523536f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LOG10E_F 0.43429448190325182765f
#define M_LN2_F 0.69314718055994530942f
#define M_LN10_F 2.30258509299404568402f
#define M_PI_F 3.14159265358979323846f
#define M_PI_2_F 1.57079632679489661923f
#define M_1_PI_F 0.31830988618379067154f
#define M_2_SQRTPI_F 1.12837916709551257390f
#define M_SQRT2_F 1.41421356237309504880f
#define M_SQRT1_2_F 0.70710678118654752440f

// Everything that is declared from here on is inlined: a helper's reference to
// its caller's variable is then known to be private, and goes unchecked.
#pragma clang attribute push( \
    __attribute__((always_inline)), apply_to = function)
