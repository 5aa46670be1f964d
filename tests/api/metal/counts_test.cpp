#include <gtest/gtest.h>

#include "api/metal/sweep.h"
#include "metal/steel.h"

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

// Of the forward pass alone.
metal::Counts counts_of_forward(const Case& c, metal::Family family) {
  auto launcher = std::make_shared<ExecutorLauncher>();
  const MetalOnCpu scope({family, launcher, 1e9});
  forward_through_the_op(c, random_inputs(c));
  return launcher->executed.front().second;
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

// Of MLX's steel attention and of ours, by name, where ours must not be more.
TEST(MetalWork, IsNoMoreThanSteelAttentions) {
  for (const auto family : {metal::Family::m1, metal::Family::m3}) {
    for (const Dtype dtype : {Dtype::bfloat16, Dtype::float32}) {
      for (const int D : {64, 80, 128}) {
        for (const int N : {128, 200}) {
          for (const bool causal : {false, true}) {
            if (N == 200 && dtype == Dtype::float32) {
              continue;
            }
            const auto theirs =
                metal::run_steel({N, N, D, causal, dtype}).counts;
            const auto ours =
                counts_of_forward(square(N, D, causal, dtype), family);
            const std::tuple<const char*, std::uint64_t, std::uint64_t>
                figures[] = {
                    {"matrix operations",
                     ours.matrix_operations,
                     theirs.matrix_operations},
                    {"exponentials", ours.exponentials, theirs.exponentials},
                    {"threadgroup barriers",
                     ours.threadgroup_barriers,
                     theirs.threadgroup_barriers},
                    {"simdgroup barriers",
                     ours.simdgroup_barriers,
                     theirs.simdgroup_barriers},
                    {"threadgroup bytes",
                     ours.threadgroup_memory,
                     theirs.threadgroup_memory},
                    {"threadgroup loads",
                     ours.threadgroup_loads,
                     theirs.threadgroup_loads},
                    {"device bytes loaded",
                     ours.device_bytes_loaded,
                     theirs.device_bytes_loaded},
                    {"multiplies and adds",
                     ours.multiply_adds(),
                     theirs.multiply_adds()}};
            for (const auto& [what, our, their] : figures) {
              EXPECT_LE(our, their)
                  << what << ": D " << D << " N " << N
                  << (causal ? " causal " : " dense ") << metal::name(family)
                  << (dtype == Dtype::float32 ? " float32" : " bfloat16");
            }
          }
        }
      }
    }
  }
}

// What a thread keeps is what its plan says.
TEST(MetalWork, StaysWithinTheRegistersOfItsPlan) {
  for (const Dtype dtype : {Dtype::bfloat16, Dtype::float32}) {
    for (const int D : {64, 128, 512}) {
      auto launcher = std::make_shared<ExecutorLauncher>();
      launcher->measures_private_bytes = true;
      const auto c = square(16 + 1, D, true, dtype);
      on_metal(c, random_inputs(c), metal::Family::m1, 1e9, launcher);
      for (const auto& [plan, bytes] : launcher->private_bytes) {
        const auto claimed = metal::resources(plan).private_bytes;
        EXPECT_LE(bytes, static_cast<std::size_t>(claimed))
            << metal::name(plan.pass) << " D " << D;
      }
    }
  }
}

} // namespace
} // namespace tessera::test
