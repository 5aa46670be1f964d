#pragma once

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "backend/cpu/harness.h"
#include "tolerance.h"

// The space of cases, and the check of one against the reference.
namespace tessera::test {

constexpr std::array lengths = {1, 3, 7, 8, 9, 31, 33, 63, 65, 127, 129, 1000};
constexpr std::array head_dims = {
    1, 8, 40, 64, 72, 80, 96, 112, 128, 160, 192, 256, 512};
constexpr std::array groups = {1, 4, 7};
constexpr std::array dtypes = {Dtype::float32, Dtype::float16, Dtype::bfloat16};
constexpr std::array layouts = {
    Layout::contiguous,
    Layout::heads_inside,
    Layout::padded,
    Layout::transposed};
// |S| up to about 4, 100 and 1e4.
constexpr std::array amplitudes = {1.0, 30.0, 2500.0};

template <class List>
auto pick(const List& list, std::mt19937& generator) {
  return list[generator() % list.size()];
}

inline Case random_case(unsigned seed) {
  std::mt19937 g(seed);
  Case c;
  c.seed = seed;
  c.problem.dtype = pick(dtypes, g);
  c.problem.B = 1 + static_cast<int>(g() % 2);
  c.problem.Hkv = 1 + static_cast<int>(g() % 2);
  c.problem.Hq = c.problem.Hkv * pick(groups, g);
  c.problem.Nq = pick(lengths, g);
  c.problem.Nk = g() % 2 == 0 ? c.problem.Nq : pick(lengths, g);
  c.problem.D = pick(head_dims, g);
  c.problem.Dv = g() % 2 == 0 ? c.problem.D : pick(head_dims, g);
  c.problem.causal = g() % 2 == 0;
  c.layout = pick(layouts, g);
  c.amplitude = pick(amplitudes, g);
  return c;
}

// Multiply-adds of the forward pass.
inline double cost(const Problem& p) {
  return 1.0 * p.B * p.Hq * p.Nq * p.Nk * (p.D + p.Dv);
}

inline std::string describe(const Case& c, Isa isa, int block_size) {
  const auto& p = c.problem;
  return fmt::format(
      "{} dtype {} B {} H {}:{} N {}:{} D {}:{} {} amplitude {} layout {} "
      "block {} seed {}",
      name(isa),
      static_cast<int>(p.dtype),
      p.B,
      p.Hq,
      p.Hkv,
      p.Nq,
      p.Nk,
      p.D,
      p.Dv,
      p.causal ? "causal" : "dense",
      c.amplitude,
      static_cast<int>(c.layout),
      block_size,
      c.seed);
}

// Forward and backward against the reference, on every instruction set.
inline void check(const Case& c, int block_size = 0) {
  const auto inputs = random_inputs(c);
  const auto expected = expect(c.problem, c.factor(), inputs);
  for (const Isa isa : isas()) {
    const auto got = Computation(c, inputs, device_with(isa), block_size).run();
    EXPECT_EQ(difference(expected, got), "") << describe(c, isa, block_size);
  }
}

} // namespace tessera::test
