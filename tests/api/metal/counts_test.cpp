#include <gtest/gtest.h>

#include "api/metal/beside_steel.h"
#include "api/metal/sweep.h"

// What the kernels do, counted while they are executed: against the ideal, and
// beside MLX's own forward.
namespace tessera::test {
namespace {

Case square(int N, int D, bool causal, Dtype dtype = Dtype::bfloat16) {
  Case c = make_case(N, N, D, causal, 1, 1);
  c.problem.B = 1;
  c.problem.dtype = dtype;
  return c;
}

// Launches of a case, in whole.
ExecutorLauncher executed(const Case& c) {
  auto launcher = std::make_shared<ExecutorLauncher>();
  on_metal(c, random_inputs(c), metal::Family::m1, 1e9, launcher);
  return *launcher;
}

std::uint64_t matrix_operations(
    const ExecutorLauncher& launcher, metal::Pass pass) {
  std::uint64_t count = 0;
  for (const auto& [plan, counts] : launcher.executed) {
    count += plan.pass == pass ? counts.matrix_operations : 0;
  }
  return count;
}

// Products of [N, N] and [N, D] tiles that a pass takes.
int products_of(metal::Pass pass) {
  return pass == metal::Pass::forward ? 2 : pass == metal::Pass::dq ? 3 : 4;
}

// An 8 x 8 x 8 product is 512 of the multiplies and adds of N * N * D.
double ideal(metal::Pass pass, double pairs, int D) {
  return products_of(pass) * pairs * D / 512;
}

constexpr metal::Pass loops[] = {
    metal::Pass::forward, metal::Pass::dq, metal::Pass::dkv};

TEST(MetalWork, IsIdealWithoutAMask) {
  for (const int D : {64, 128}) {
    const auto launcher = executed(square(1024, D, false));
    for (const auto pass : loops) {
      EXPECT_EQ(
          static_cast<double>(matrix_operations(launcher, pass)),
          ideal(pass, 1024.0 * 1024, D))
          << metal::name(pass) << " D " << D;
    }
  }
}

TEST(MetalWork, FollowsTheMask) {
  struct Row {
    const char* what;
    Case c;
    double pairs; // that see each other
    double most;  // of the ideal
  };
  constexpr double N = 2048;
  Row rows[] = {
      {"causal", square(2048, 64, true), N * (N + 1) / 2, 1.02},
      {"window", square(1024, 64, true), 255.0 * 1024 - 255 * 254 / 2, 1.15},
      {"segments", square(1024, 64, true), 1024 * 129 / 2, 1.25}};
  rows[1].c.problem.left = 254;
  rows[2].c.problem.features.segments = true;
  for (const auto& [what, c, pairs, most] : rows) {
    auto launcher = std::make_shared<ExecutorLauncher>();
    auto in = random_inputs(c);
    for (std::size_t i = 0; i < in.segments_q.size(); ++i) {
      in.segments_q[i] = in.segments_k[i] = static_cast<double>(i / 128);
    }
    on_metal(c, in, metal::Family::m1, 1e9, launcher);
    for (const auto pass : loops) {
      EXPECT_LE(
          static_cast<double>(matrix_operations(*launcher, pass)),
          most * ideal(pass, pairs, 64))
          << what << ' ' << metal::name(pass);
    }
  }
}

// Lengths at and beside the sides of both kernels' blocks, with head
// dimensions, dtypes and families by turns; the whole grid is nightly.
TEST(MetalWork, IsNoMoreThanSteelAttentions) {
  constexpr int dims[] = {64, 80, 128};
  constexpr Dtype dtypes[] = {Dtype::bfloat16, Dtype::float32, Dtype::float16};
  unsigned turn = 0;
  for (const auto& [Nq, Nk] :
       {std::pair(9, 1),
        std::pair(16, 16),
        std::pair(9, 200),
        std::pair(17, 33),
        std::pair(32, 32),
        std::pair(33, 17),
        std::pair(64, 65),
        std::pair(96, 16),
        std::pair(128, 128),
        std::pair(200, 200)}) {
    for (const bool causal : {false, true}) {
      const SteelShape shape{
          Nq, Nk, dims[turn % 3], causal, dtypes[turn / 3 % 3]};
      if (shape.is_steels()) {
        expect_no_more_than_steel(shape, {metal::families[turn % 4]});
      }
      ++turn;
    }
  }
}

TEST(MetalWork, IsNoMoreThanSteelAttentionsOfGroupedHeadsAndBatches) {
  for (const int Nq : {12, 20, 40}) {
    expect_no_more_than_steel(
        {Nq, 48, 64, true, Dtype::bfloat16, 4, 2, 2}, {metal::Family::m1});
  }
}

} // namespace
} // namespace tessera::test
