#pragma once

#include "plan/device.h"
#include "plan/problem.h"

namespace tessera::cpu {

// The most floating point operations a second that `threads` threads make of
// independent multiply-adds in registers: in float32, or, for bfloat16 where
// the instruction set has it, of dot products of pairs. Measured, over about
// `seconds`; 2 a product and sum.
double peak_flops(Dtype dtype, Isa isa, int threads, double seconds = 0.05);

} // namespace tessera::cpu
