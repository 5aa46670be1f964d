#include "backend/cpu/isa/kernels.h"

namespace tessera::cpu {

const Kernels& kernels_for(const Problem& problem, const Plan& plan) {
#if defined(__x86_64__)
  if (values_per_word(problem, plan) == 2) {
    return plan.isa == Isa::amx ? amx_kernels : avx512_bf16_kernels;
  }
  if (plan.isa >= Isa::avx512) {
    return avx512_kernels;
  }
  if (plan.isa == Isa::avx2) {
    return avx2_kernels;
  }
#elif defined(__aarch64__)
  if (plan.isa == Isa::neon) {
    return neon_kernels;
  }
#endif
  return portable_kernels;
}

} // namespace tessera::cpu
