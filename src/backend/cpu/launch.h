#pragma once

#include <cstddef>

#include "backend/cpu/task.h"

namespace tessera::cpu {

// The processor that the program runs on.
Device this_device();

// What `run` needs as workspace: the buffers of each thread.
std::size_t workspace_bytes(const Task& task);

// Computes a pass: its outputs are operands of the task. The pass dKdV leaves
// out dK or dV where its data is null. Returns when all is written. The result
// has the same bits for any number of threads.
void run(const Task& task, void* workspace);

// E = rowsum(dO * O) - dL, which both backward passes read.
void run_row_dots(const Task& task);

} // namespace tessera::cpu
