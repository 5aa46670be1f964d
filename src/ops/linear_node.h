#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/gemm.h"
#include "ops/linear.h"
#include "ops/rows.h"

namespace tessera::ops {

// The shape of one module, and where its arrays are among a node's inputs; 0
// where it has none (x is input 0).
struct LinearShape {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t rank = 0;
  std::size_t W = 0;
  std::size_t bias = 0;
  std::size_t A = 0;
  std::size_t B = 0;
  std::uint64_t seed = 0;
};

struct LinearCall {
  std::int64_t rows = 0;
  LowRankFactors factors;
  std::vector<LinearShape> modules;
};

// The rows of x that a module's A reads: x itself, or a copy in `room` with
// dropout applied. The same draw for the same seed, row and feature.
const float* into_A(
    const LinearCall& call,
    const LinearShape& module,
    const Piece& piece,
    const float* x,
    std::vector<float>& room);

// dx *= what dropout multiplied x by.
void drop_gradient(
    const LinearCall& call,
    const LinearShape& module,
    const Piece& piece,
    float* dx);

// Gradients of a node's inputs, of which `argnums` are wanted.
std::vector<mlx::core::array> linear_gradients(
    const LinearCall& call,
    const std::vector<mlx::core::array>& inputs,
    const std::vector<mlx::core::array>& cotangents,
    const std::vector<int>& argnums);

} // namespace tessera::ops
