#pragma once

#include "backend/cpu/task.h"
#include "tessera/profile.h"

namespace tessera {

// The share of a pass in PassProfile::flops. Reads the segments and the
// prefix of the task.
double useful_flops(const cpu::Task& task);

// Adds a call to the profile, of the forward pass or of those behind it. Any
// thread may.
void record_attention(Pass pass, const PassProfile& call);

} // namespace tessera
