#pragma once

#include "backend/cpu/task.h"

namespace tessera::cpu {

// Computes one work item with the buffers at `memory`, laid out as the task's
// workspace says.
using Kernel = void (*)(const Task& task, const Item& item, float* memory);

struct Kernels {
  Kernel forward;
  Kernel dQ;
  Kernel dKdV;
  Kernel row_dots; // E; takes no memory
};

// The kernels of an instruction set; the portable ones where the build has none
// of it.
const Kernels& kernels_for(Isa isa);

// One file each.
extern const Kernels portable_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;

} // namespace tessera::cpu
