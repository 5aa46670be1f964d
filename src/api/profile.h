#pragma once

#include <chrono>

#include "plan/problem.h"
#include "tessera/profile.h"

namespace tessera {

// The share of a pass in AttentionProfile::flops.
double useful_flops(const Problem& problem);

// Adds a call to the profile. Any thread may.
void record_attention(std::chrono::nanoseconds time, double flops);

} // namespace tessera
