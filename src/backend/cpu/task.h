#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernel/numbers.h"
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
// elements, 0 along an axis that is broadcast. What has fewer axes stands in
// the first ones. `data` is null where the operand is absent, or not wanted.
// `dtype` speaks of float operands only.
struct View {
  void* data = nullptr;
  Dtype dtype = Dtype::float32;
  std::array<std::int64_t, 4> strides{};

  std::int64_t offset(int a, int b, int c, int d) const {
    return a * strides[0] + b * strides[1] + c * strides[2] + d * strides[3];
  }
  Row row(int batch, int head, int index) const {
    auto* bytes = static_cast<std::byte*>(data);
    return {
        bytes +
            offset(batch, head, index, 0) *
                static_cast<std::int64_t>(size_of(dtype)),
        dtype,
        strides[3]};
  }
  // For operands whose element is known to be a T.
  template <class T>
  T& at(int a, int b = 0, int c = 0, int d = 0) const {
    return static_cast<T*>(data)[offset(a, b, c, d)];
  }
};

// Everything that the kernels of one pass read.
struct Task {
  Problem problem;
  Plan plan;
  Numbers numbers;
  std::array<View, operand_count> operands{};

  const View& operator[](Operand operand) const {
    return operands[slot(operand)];
  }
  View& operator[](Operand operand) {
    return operands[slot(operand)];
  }
};

} // namespace tessera::cpu
