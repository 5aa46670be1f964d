#pragma once

#include <cstdint>

namespace tessera::train {

// The most memory held so far, in bytes: of the process (resident set) where
// MLX computes on the CPU, of MLX's allocator elsewhere.
std::int64_t peak_memory();

double peak_memory_gib();

} // namespace tessera::train
