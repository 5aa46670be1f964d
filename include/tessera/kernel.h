#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tessera/case.h"

namespace tessera {

// An array that a kernel reads or writes, without gaps.
struct KernelBuffer {
  // Operands go by their letters: Q K V O L D dO dQ dK dV.
  std::string name;
  std::string dtype; // "float32", "bfloat16", "int64", ...
  std::vector<std::int64_t> shape;
  // Where they are known: the call's numbers, `layout` (shape and strides of
  // each operand in turn), segments, ...
  std::vector<double> values;
  // What it is known by between launches, where that is not its name: the part
  // of an operand, or what one launch leaves for the next.
  std::string key;

  const std::string& known_as() const {
    return key.empty() ? name : key;
  }
};

// What was planned: rows and columns of a tile, registers, ...
using PlanFact = std::pair<std::string, std::variant<int, bool, std::string>>;

// One dispatch of a kernel, as MLX compiles and launches it.
struct KernelLaunch {
  std::string name; // of the function
  // The whole translation unit, its signature included. Its first line includes
  // MLX's "mlx/backend/metal/kernels/utils.h".
  std::string source;
  std::array<int, 3> grid{}; // in threads
  std::array<int, 3> threadgroup{};
  // In the order of the function's buffers, inputs first.
  std::vector<KernelBuffer> inputs;
  std::vector<KernelBuffer> outputs;
  std::vector<PlanFact> plan;
};

// Outputs of launches that make a whole, one after the other along an axis.
struct KernelJoin {
  std::string key;
  std::vector<std::string> parts; // keys
  int axis = 0;
};

struct Kernels {
  std::vector<KernelLaunch> launches; // in order
  std::vector<KernelJoin> joins;      // each as soon as its parts are there
};

// What MLX would compile and launch for a pass of a call on an Apple GPU; no
// GPU is asked. `pass` is "forward", "delta", "dq", "dkv", "dbias", "dslopes"
// or "dsinks"; `family` "m1" to "m4". D of delta is rowsum(dO * O): nothing is
// taken to differentiate the logsumexp. Throws InputError where the call is
// refused, with its reason.
Kernels metal_kernels(
    const AttentionCase& c,
    const std::string& pass,
    const std::string& family = "m1");

// As JSON: the fields of a launch, with `plan`; of more than one, `launches`, a
// list of such objects, and `joins`.
std::string metal_kernels_json(const Kernels& kernels);

} // namespace tessera
