#pragma once

#include <chrono>

#include "backend/cpu/task.h"
#include "tessera/profile.h"

namespace tessera {

// The share of a pass in AttentionProfile::flops. Reads the segments and the
// prefix of the task.
double useful_flops(const cpu::Task& task);

// Adds a call to the profile. Any thread may.
void record_attention(std::chrono::nanoseconds time, double flops);

} // namespace tessera
