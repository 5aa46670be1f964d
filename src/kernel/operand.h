#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "plan/problem.h"

namespace tessera {

// What the loops read and write, by the letters of the FlashAttention papers.
// E is D of the papers less the cotangent of L, rowsum(dO * O) - dL: both enter
// dS = P * (dP - E) in the same place.
enum class Operand {
  Q,
  K,
  V,
  O,
  L,
  dO,
  dL,
  E,
  dQ,
  dK,
  dV,
  bias,       // [B, Hq, Nq, Nk] by its strides, any float dtype
  slopes,     // [B, Hq], any float dtype
  sinks,      // [Hq], any float dtype
  dbias,      // in the shape of bias before it was broadcast
  dslopes,    // the same of slopes
  dsinks,     // [Hq]
  mask,       // [B, Hq, Nq, Nk] by its strides, a byte each: not 0 keeps
  blocks,     // [B, Hq, ceil(Nq / rows), ceil(Nk / columns)], a byte each
  segments_q, // [B, Nq] int32
  segments_k, // [B, Nk] int32
  prefix,     // [B] int32
  seed,       // [2] uint32, the lower half first
};

constexpr std::size_t operand_count = 23;

constexpr std::size_t slot(Operand operand) {
  return static_cast<std::size_t>(operand);
}

constexpr std::string_view name(Operand operand) {
  constexpr std::array<std::string_view, operand_count> names = {
      "Q",      "K",          "V",          "O",       "L",      "dO",
      "dL",     "E",          "dQ",         "dK",      "dV",     "bias",
      "slopes", "sinks",      "dbias",      "dslopes", "dsinks", "mask",
      "blocks", "segments_q", "segments_k", "prefix",  "seed"};
  return names[slot(operand)];
}

// L, dL and E are a float32 a row.
constexpr bool is_row_vector(Operand operand) {
  return operand == Operand::L || operand == Operand::dL ||
      operand == Operand::E;
}

// Of the operands from Q to dV: [batch, heads, length, features]; features is 1
// for row vectors.
using OperandShape = std::array<int, 4>;

constexpr OperandShape shape(Operand operand, const Problem& p) {
  switch (operand) {
    case Operand::Q:
    case Operand::dQ:
      return {p.B, p.Hq, p.Nq, p.D};
    case Operand::K:
    case Operand::dK:
      return {p.B, p.Hkv, p.Nk, p.D};
    case Operand::V:
    case Operand::dV:
      return {p.B, p.Hkv, p.Nk, p.Dv};
    case Operand::O:
    case Operand::dO:
      return {p.B, p.Hq, p.Nq, p.Dv};
    default:
      return {p.B, p.Hq, p.Nq, 1};
  }
}

} // namespace tessera
