#pragma once

#include "backend/cpu/few.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/shared.h"

namespace tessera::cpu {

// The kernels of an instruction set for one kind of word. Each computes one
// work item with the buffers at `memory`, laid out as the workspace says.
struct Kernels {
  void (*forward)(
      const Task&, const Cover&, const Workspace&, const Rows&, float* memory);
  void (*few_forward)(
      const Task&,
      const Cover&,
      const FewWorkspace&,
      const Rows& keys,
      float* part,
      float* memory);
  void (*few_combine)(
      const Task&,
      int batch,
      int head,
      int row,
      const float* part,
      std::ptrdiff_t step,
      int parts);
  void (*prepare)(const Task&, Shared&, int batch, int head, int row_block);
  void (*backward)(
      const Task&,
      const Cover&,
      Shared&,
      const Workspace&,
      const Rows&,
      float* memory);
  void (*finish)(const Task&, Shared&);
  void (*bias_gradient)(
      const Task&,
      const Cover&,
      Shared&,
      const Workspace&,
      const BiasTile&,
      float* memory);
  double (*multiply_add)(int rounds);
  // The elementary functions, in place.
  void (*exp2)(float* x, int count);
  void (*tanh)(float* x, int count);
};

// The kernels of a plan's instruction set; the portable ones where the build
// has none of it.
const Kernels& kernels_for(const Problem& problem, const Plan& plan);

// One file each.
extern const Kernels portable_kernels;
extern const Kernels neon_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
extern const Kernels avx512_bf16_kernels;
extern const Kernels amx_kernels;

} // namespace tessera::cpu
