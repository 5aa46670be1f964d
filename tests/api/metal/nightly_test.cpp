#include <gtest/gtest.h>

#include "api/metal/beside_steel.h"
#include "api/metal/registers.h"
#include "api/metal/sweep.h"

// The whole sweep: every pair of lengths with head dimensions and dtypes drawn,
// every head dimension of keys with every one of values, every pair of features
// with every dtype, on each family.
namespace tessera::test {
namespace {

TEST(MetalSweep, Lengths) {
  unsigned seed = 0;
  for (const int Nq : lengths) {
    for (const int Nk : lengths) {
      ++seed;
      Case c = random_case(seed);
      c.problem.Nq = Nq;
      c.problem.Nk = Nk;
      for (unsigned next = seed; cost(c.problem) > 2e8;) {
        c = random_case(next += 1000);
        c.problem.Nq = Nq;
        c.problem.Nk = Nk;
      }
      check_on_metal(c, family_for(seed));
    }
  }
}

TEST(MetalSweep, HeadDimensions) {
  unsigned seed = 5000;
  for (const int D : head_dims) {
    for (const int Dv : head_dims) {
      ++seed;
      check_on_metal(
          affordable_case(
              seed,
              [&](Case& c) {
                c.problem.D = D;
                c.problem.Dv = Dv;
                c.problem.dtype = dtypes[seed % dtypes.size()];
              }),
          family_for(seed));
    }
  }
}

TEST(MetalSweep, PairsOfFeatures) {
  unsigned seed = 10000;
  for (std::size_t b = 0; b < feature_rows.size(); ++b) {
    for (std::size_t a = 0; a <= b; ++a) { // a == b: the feature alone
      for (const Dtype dtype : dtypes) {
        ++seed;
        check_on_metal(
            affordable_case(
                seed,
                [&](Case& c) {
                  c = without_features(c);
                  c.problem.dtype = dtype;
                  Generator g(seed);
                  feature_rows[a].add(c, g);
                  feature_rows[b].add(c, g);
                }),
            family_for(seed));
      }
    }
  }
}

TEST(MetalSweep, Fuzz) {
  for (unsigned seed = 13; seed <= 400; ++seed) {
    const Case c = fuzz_case(seed);
    if (cost(c.problem) <= 5e7) {
      metal::Options options;
      options.schedules = 2;
      check_on_metal(c, family_for(seed), metal::launch_seconds, options);
    }
  }
}

// Three rows of K in an array of 4.5 GB: the last begins after 3 GB. An offset
// that overflowed would lie outside of it, which the executor does not pass.
TEST(MetalSweep, KeysFarApart) {
  const auto far = mx::zeros({3, 750'000'000}, mx::bfloat16);
  const auto K =
      mx::expand_dims(mx::slice(far, {0, 0}, {3, 8}), std::vector<int>{0, 1});
  const auto near = mx::contiguous(K);
  const auto Q = mx::ones({1, 1, 3, 8}, mx::bfloat16);
  const auto V = mx::reshape(mx::arange(0, 24, 1, mx::bfloat16), {1, 1, 3, 8});
  AttentionOptions options;
  options.implementation = Implementation::tessera;
  const auto expected = float_values(attention(Q, near, V, options));
  const MetalOnCpu scope(
      {metal::Family::m1, std::make_shared<ExecutorLauncher>()});
  EXPECT_EQ(float_values(attention(Q, K, V, options)), expected);
}

// float16 counts as bfloat16, and m2 and m4 plan as their predecessors do.
TEST(MetalWork, IsNoMoreThanSteelAttentionsAtAnyShape) {
  constexpr int rows[] = {
      9,
      11,
      13,
      15,
      16,
      17,
      24,
      32,
      33,
      40,
      64,
      65,
      96,
      100,
      128,
      129,
      200,
      256};
  constexpr int columns[] = {1,  3,  5,  7,  9,  11, 13,  15,  16,  17,  24,
                             32, 33, 40, 64, 65, 96, 100, 128, 129, 200, 256};
  for (const int Nq : rows) {
    for (const int Nk : columns) {
      for (const int D : {64, 80, 128}) {
        for (const Dtype dtype : {Dtype::bfloat16, Dtype::float32}) {
          for (const bool causal : {false, true}) {
            const SteelShape shape{Nq, Nk, D, causal, dtype};
            if (shape.is_steels()) {
              expect_no_more_than_steel(
                  shape, {metal::Family::m1, metal::Family::m3});
            }
          }
        }
      }
    }
  }
}

TEST(MetalWork, IsNoMoreThanSteelAttentionsOfGroupedHeadsAndBatches) {
  for (const int Nq : {9, 16, 17, 33, 100}) {
    for (const int Nk : {1, 17, 64, 129, 256, 300, 512}) {
      for (const int D : {64, 128}) {
        for (const bool causal : {false, true}) {
          const SteelShape shape{Nq, Nk, D, causal, Dtype::bfloat16, 4, 2, 2};
          if (shape.is_steels()) {
            expect_no_more_than_steel(
                shape, {metal::Family::m1, metal::Family::m3});
          }
        }
      }
    }
  }
}

TEST(MetalRegisters, OfEveryKernel) {
  for (const auto family : {metal::Family::m1, metal::Family::m3}) {
    for (const int D : {8, 16, 24, 32, 64, 80, 128, 256, 512}) {
      for (const Dtype dtype : dtypes) {
        const Case plain = case_of_registers(D, dtype);
        expect_within_claims(plain, family);
        for (const auto& row : feature_rows) {
          expect_within_claims(with_feature(plain, row), family);
        }
        expect_within_claims(with_all_features(plain), family);
      }
    }
  }
}

} // namespace
} // namespace tessera::test
