#pragma once

#include <cstddef>
#include <vector>

#include "backend/cpu/task.h"

namespace tessera::cpu {

// The instruction sets of the processor that the kernels are compiled for, the
// strongest last.
std::vector<Isa> supported_isas();

// The processor that the program runs on.
Device this_device();

// What `run` needs as workspace: the buffers of each thread and what the
// threads share. Depends on the problem and the plan alone.
std::size_t workspace_bytes(const Task& task);

// Computes a pass and returns when all is written. The result has the same bits
// for any number of threads.
//
//   forward   reads Q, K, V and the features' arrays; writes O and L.
//   backward  reads these, O, L, dO and dL; writes those of dQ, dK, dV,
//             dslopes and dsinks whose data is not null.
//   dbias     reads the same; writes dbias.
//
// Outputs are contiguous along their last axis; dbias and dslopes have stride 0
// along the axes they are summed over.
void run(const Task& task, void* workspace);

} // namespace tessera::cpu
