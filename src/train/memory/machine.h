#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/finetune.h"

namespace tessera::train {

// The most memory held so far, in bytes: of the process (resident set) where
// MLX computes on the CPU, of MLX's allocator elsewhere.
std::int64_t peak_memory();

double gib(std::int64_t bytes);
double peak_memory_gib();

// What is held now, in bytes, measured the same way.
std::int64_t held_memory();

// What the process may hold in all, in bytes, what it holds already included:
// on the CPU what the system counts as available, or less where a control group
// limits it; elsewhere what the device recommends. 0 where nothing tells.
std::int64_t available_memory();

// From here on, on the CPU, large blocks go back to the system as soon as they
// are freed: MLX keeps none of them for later, and glibc does not raise its
// threshold as it goes. What is held is then what is in use.
void return_freed_memory();

// Bytes of arrays, in use and freed, up to which freed ones may be kept so that
// the peak stays where it was predicted; 0: none.
std::size_t most_kept(const MemoryPrediction& predicted);

// As long as it lives, freed arrays are kept on the CPU for the next ones, up
// to that.
class KeptMemory {
 public:
  explicit KeptMemory(const MemoryPrediction& predicted);
  ~KeptMemory();
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;
};

// Memory that MLX's allocator keeps back on the device, in bytes.
std::int64_t cached_memory();

} // namespace tessera::train
