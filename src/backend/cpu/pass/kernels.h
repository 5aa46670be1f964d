#pragma once

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/pass/dbias.h"
#include "backend/cpu/pass/few.h"
#include "backend/cpu/pass/peak.h"
#include "backend/cpu/pass/prepare.h"

namespace tessera::cpu {

// f of each of `count` values, in place.
template <class Target, auto f>
void map(float* x, int count) {
  using V = Vec<Target>;
  for (int i = 0; i < count; i += V::lanes) {
    const int n = count - i < V::lanes ? count - i : V::lanes;
    const Row row{x, Dtype::float32, 1};
    V::store_features(row, i, n, f(V::load_features(row, i, n)));
  }
}

template <class Target>
constexpr Kernels kernels_of() {
  return {
      forward<Target>,
      few_forward<Target>,
      few_combine<Target>,
      prepare<Target>,
      backward<Target>,
      finish<Target>,
      bias_gradient<Target>,
      multiply_add<Target>,
      map<Target, Vec<Target>::exp2>,
      map<Target, Vec<Target>::tanh>};
}

} // namespace tessera::cpu
