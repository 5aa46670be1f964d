#pragma once

#include "plan/device.h"
#include "plan/problem.h"

namespace tessera::cpu {

// The most floating point operations a second that `threads` threads make of
// independent multiply-adds in registers, with an instruction set of the
// machine: in float32; for bfloat16, of dot products of pairs or products of
// matrices where it has them. Measured; 2 a product and sum.
double peak_flops(Isa isa, Dtype dtype, int threads);

} // namespace tessera::cpu
