#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "executor.h"

namespace tessera::metal {

// What fills a variable that the text does not initialise.
enum class Fill { pattern, zero };

// A kernel as a shared library of this process.
struct Module {
  std::string path;
  void (*entry)();
  unsigned limit;              // threads of a threadgroup
  std::uint64_t* float_counts; // adds, multiplies, fused, divisions
};

// Compiles, or takes from the caches in memory and in the build folder.
const Module& load(const Dispatch& dispatch, Fill fill);

// The line of an address in a module, then those that it is inlined into.
std::string source_line(const void* address);

} // namespace tessera::metal
