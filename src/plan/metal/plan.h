#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <variant>

#include "plan/metal/device.h"
#include "plan/plan.h"
#include "plan/problem.h"

namespace tessera::metal {

// The kernels. `forward` of few queries takes many keys in runs, which
// `combine` joins; `delta` is D = rowsum(dO * O) - dL; dslopes and dsinks add
// up what dq and delta leave a row.
enum class Pass { forward, combine, delta, dq, dkv, dbias, dslopes, dsinks };

constexpr std::string_view name(Pass pass) {
  constexpr std::string_view names[] = {
      "forward", "combine", "delta", "dq", "dkv", "dbias", "dslopes", "dsinks"};
  return names[static_cast<int>(pass)];
}

// Whether a pass goes over tiles of the score matrix; the others over rows.
constexpr bool by_scores(Pass pass) {
  return pass == Pass::forward || pass == Pass::dq || pass == Pass::dkv ||
      pass == Pass::dbias;
}

// How the operands that a loop runs along reach the simdgroups: read from
// device memory by each; or once for all of a threadgroup, through its memory,
// both operands of a tile whole, or `head_block` features of one at a time.
enum class Staging { direct, whole, pieces };

// Where a simdgroup keeps what it adds up over the whole loop.
enum class Home { registers, threadgroup, device };

// A kernel's blocks in three dimensions, and what stays in registers. Rows are
// those of the sequence that a threadgroup owns: queries, and keys in dkv.
struct Plan {
  Pass pass = Pass::forward;
  Dtype dtype = Dtype::float32;
  int D = 0;
  int Dv = 0;
  int rows = 8; // of a simdgroup
  int simdgroups = 1;
  int columns = 8;     // of a tile
  int head_block = 0;  // features staged at a time, of Q and K
  int value_block = 0; // of V and dO
  Staging staging = Staging::direct;
  bool hold_own = false;   // Q, or K in dkv, in registers
  bool hold_value = false; // dO, or V in dkv
  Home sums = Home::registers;
  // Forward, few queries: rows are the queries of all heads that share a key
  // head.
  bool packed = false;
  bool runs = false; // and the keys are split into runs, for `combine`

  // What the text has branches for.
  bool causal = false;
  bool window = false;
  bool chunk = false;
  bool blocks = false;
  Features features{};

  int rows_of_threadgroup() const {
    return rows * simdgroups;
  }
  int threads() const {
    return 32 * simdgroups;
  }
  bool operator==(const Plan&) const = default;
};

using Planned = std::variant<Plan, Refusal>;

// What a kernel takes.
struct Resources {
  // 32-bit, of a thread: all that it keeps to itself. What is the same in a
  // whole dispatch has registers of its own on these GPUs.
  int registers = 0;
  int threadgroup_bytes = 0; // of a threadgroup
  int staged_elements = 0;   // of them, for operands, in the plan's dtype
  int staged_offset = 0;     // where the second operand or half begins
  int spilled_floats = 0; // of a simdgroup, where `sums` are not in registers
};

Resources resources(const Plan& plan);

// Elements between two staged rows: 16 bytes, so that rows begin in different
// banks.
constexpr int staged_gap(Dtype dtype) {
  return static_cast<int>(16 / size_of(dtype));
}

constexpr int padded(int features) {
  return (features + 7) / 8 * 8;
}

} // namespace tessera::metal

template <>
struct std::hash<tessera::metal::Plan> {
  std::size_t operator()(const tessera::metal::Plan& plan) const noexcept;
};
