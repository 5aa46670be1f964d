#pragma once

#include <string_view>

namespace tessera::metal {

// Generations of Apple GPUs that plans tell apart.
enum class Family { m1, m2, m3, m4 };

constexpr Family families[] = {Family::m1, Family::m2, Family::m3, Family::m4};

constexpr std::string_view name(Family family) {
  switch (family) {
    case Family::m2:
      return "m2";
    case Family::m3:
      return "m3";
    case Family::m4:
      return "m4";
    case Family::m1:
      break;
  }
  return "m1";
}

// What a kernel may take, and how fast the family's smallest GPU is.
struct Limits {
  int threads = 1024;            // of a threadgroup
  int threadgroup_bytes = 32768; // "Metal Feature Set Tables", Apple 7 to 9
  // 32-bit registers of a thread. The instruction set of M1 names 128
  // (Johnson, "Apple G13 GPU Architecture Reference", 2021); no document tells
  // of more in the later ones.
  int registers = 128;
  int cores = 0;    // of its smallest GPU
  double flops = 0; // float32 multiplies and adds a second of it, at peak
  double bytes = 0; // a second between it and memory
};

// Cores times 128 lanes times 2 times the clock; bytes as Apple states them.
constexpr Limits limits(Family family) {
  switch (family) {
    case Family::m2:
      return {.cores = 8, .flops = 8 * 256 * 1.40e9, .bytes = 100e9};
    case Family::m3:
      return {.cores = 8, .flops = 8 * 256 * 1.38e9, .bytes = 100e9};
    case Family::m4:
      return {.cores = 8, .flops = 8 * 256 * 1.58e9, .bytes = 120e9};
    case Family::m1:
      break;
  }
  return {.cores = 7, .flops = 7 * 256 * 1.28e9, .bytes = 68e9};
}

} // namespace tessera::metal
