#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernel/operand.h"
#include "plan/plan.h"
#include "plan/workspace.h"

namespace tessera::cpu {

// One row of an operand: its first element, and how far the next feature lies,
// in elements.
struct Row {
  void* data = nullptr;
  Dtype dtype = Dtype::float32;
  std::int64_t stride = 1;
};

// An operand [batch, heads, length, features] anywhere in memory; strides in
// elements. Row vectors have features 1. `data` is null where the operand is
// not wanted.
struct View {
  void* data = nullptr;
  Dtype dtype = Dtype::float32;
  std::array<std::int64_t, 4> strides{};

  Row row(int batch, int head, int index) const {
    const auto offset =
        batch * strides[0] + head * strides[1] + index * strides[2];
    auto* bytes = static_cast<std::byte*>(data);
    return {
        bytes + offset * static_cast<std::int64_t>(size_of(dtype)),
        dtype,
        strides[3]};
  }
};

// Everything that the kernels of one pass read.
struct Task {
  Problem problem;
  Plan plan;
  Workspace workspace;
  Mask mask;
  float scale = 1.0f;
  std::array<View, operand_count> operands{};

  const View& operator[](Operand operand) const {
    return operands[slot(operand)];
  }
  View& operator[](Operand operand) {
    return operands[slot(operand)];
  }
};

Task make_task(const Problem& problem, const Plan& plan, float scale);

// A block of the stationary sequence, of one batch entry and head.
struct Item {
  int batch = 0;
  int head = 0;
  Span rows; // columns of the score matrix in the pass dKdV
};

} // namespace tessera::cpu
