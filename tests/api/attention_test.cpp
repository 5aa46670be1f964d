#include "tessera/attention.h"

#include <gtest/gtest.h>

#include "api/arrays.h"
#include "tessera/error.h"

namespace tessera::test {
namespace {

// O, L and the gradients of sum(O * dO) + sum(L * dL).
Outputs compute(
    const Problem& problem,
    const Arrays& x,
    const mx::array& dO,
    const mx::array& dL) {
  AttentionOptions options;
  options.causal = problem.causal;
  const auto function = [&](const std::vector<mx::array>& in) {
    const auto out = attention_with_logsumexp(in[0], in[1], in[2], options);
    return std::vector<mx::array>{out.O, out.L};
  };
  const auto [values, gradients] = mx::vjp(function, x.list(), {dO, dL});
  Outputs out;
  out.O = values_of(values[0]);
  out.L = values_of(values[1]);
  out.dQ = values_of(gradients[0]);
  out.dK = values_of(gradients[1]);
  out.dV = values_of(gradients[2]);
  return out;
}

void check(const Problem& problem, const Arrays& x, Dtype dtype) {
  const auto dO =
      normal({problem.B, problem.Hq, problem.Nq, problem.Dv}, 4, x.Q.dtype());
  const auto dL = normal({problem.B, problem.Hq, problem.Nq}, 5);
  const auto expected = expect_of(problem, x, dO, dL, dtype);
  EXPECT_EQ(difference(expected, compute(problem, x, dO, dL)), "");
}

TEST(Attention, AgreesWithTheReferenceInEachDtype) {
  const std::pair<mx::Dtype, Dtype> dtypes[] = {
      {mx::float32, Dtype::float32},
      {mx::float16, Dtype::float16},
      {mx::bfloat16, Dtype::bfloat16}};
  for (const auto& [theirs, ours] : dtypes) {
    for (const bool causal : {false, true}) {
      for (const auto& problem :
           {make_problem(2, 4, 2, 65, 65, 40, 40, causal),
            make_problem(1, 7, 1, 9, 33, 8, 72, causal),
            make_problem(1, 2, 2, 33, 9, 64, 8, causal)}) {
        check(problem, make(problem, theirs), ours);
      }
    }
  }
}

TEST(Attention, ReadsStridedAndBroadcastInputs) {
  const auto problem = make_problem(2, 4, 2, 31, 31, 16, 16, true);
  // As a projection leaves them: [batch, length, heads, features].
  const auto split = [](int heads, unsigned seed) {
    return mx::transpose(normal({2, 31, heads, 16}, seed), {0, 2, 1, 3});
  };
  check(problem, {split(4, 1), split(2, 2), split(2, 3)}, Dtype::float32);
  // The last axis not contiguous; every second row; one key head for all.
  check(
      problem,
      {mx::swapaxes(normal({2, 4, 16, 31}, 1), 2, 3),
       mx::slice(
           normal({2, 2, 62, 16}, 2),
           {0, 0, 0, 0},
           {2, 2, 62, 16},
           {1, 1, 2, 1}),
       mx::broadcast_to(normal({1, 1, 31, 16}, 3), {2, 2, 31, 16})},
      Dtype::float32);
}

TEST(Attention, TakesCotangentsOfAnyStrides) {
  const auto problem = make_problem(2, 2, 1, 9, 9, 8, 8, true);
  const auto x = make(problem);
  const auto dO = mx::transpose(normal({8, 9, 2, 2}, 4), {3, 2, 1, 0});
  const auto dL = mx::swapaxes(normal({2, 9, 2}, 5), 1, 2);
  EXPECT_EQ(
      difference(expect_of(problem, x, dO, dL), compute(problem, x, dO, dL)),
      "");
  const auto ones = mx::broadcast_to(mx::array(1.0f), {2, 2, 9, 8});
  const auto zeros = mx::broadcast_to(mx::array(0.0f), {2, 2, 9});
  EXPECT_EQ(
      difference(
          expect_of(problem, x, ones, zeros), compute(problem, x, ones, zeros)),
      "");
}

TEST(Attention, TakesEmptyAxes) {
  const auto run = [](const Problem& problem) {
    const auto x = make(problem);
    return compute(
        problem,
        x,
        mx::ones({problem.B, problem.Hq, problem.Nq, problem.Dv}),
        mx::ones({problem.B, problem.Hq, problem.Nq}));
  };
  EXPECT_TRUE(run(make_problem(0, 2, 1, 3, 3, 8, 8, true)).O.empty());
  const auto no_queries = run(make_problem(1, 2, 1, 0, 3, 8, 8, true));
  EXPECT_EQ(no_queries.dK, Values(24, 0));
  EXPECT_EQ(no_queries.dV, Values(24, 0));
  const auto no_keys = run(make_problem(1, 2, 1, 3, 0, 8, 8, true));
  EXPECT_EQ(no_keys.O, Values(48, 0));
  EXPECT_EQ(no_keys.L, Values(6, -INFINITY));
  EXPECT_EQ(no_keys.dQ, Values(48, 0));
}

// The slope of the op itself along a random direction, from central
// differences at h and h / 2 (whose difference bounds the error of the better),
// and float32's rounding of the two losses.
TEST(Attention, GradientIsThatOfFiniteDifferences) {
  const auto problem = make_problem(1, 4, 2, 9, 12, 8, 8, true);
  const auto x = make(problem);
  const auto direction = make(problem, mx::float32, 10);
  const auto weights = normal({1, 4, 9, 8}, 20);
  AttentionOptions options;
  options.causal = true;
  const auto loss = [&](const std::vector<mx::array>& in) {
    const auto out = attention_with_logsumexp(in[0], in[1], in[2], options);
    return mx::sum(out.O * weights) + mx::sum(mx::sin(out.L));
  };
  const auto gradients = mx::grad(loss, {0, 1, 2})(x.list());
  for (std::size_t i = 0; i < 3; ++i) {
    const auto along = direction.list()[i];
    const double analytic = mx::sum(gradients[i] * along).item<float>();
    const auto slope = [&](float h) {
      auto up = x.list();
      auto down = x.list();
      up[i] = up[i] + h * along;
      down[i] = down[i] - h * along;
      return static_cast<double>(
                 loss(up).item<float>() - loss(down).item<float>()) /
          (2 * static_cast<double>(h));
    };
    const double coarse = slope(0.02f);
    const double fine = slope(0.01f);
    const double rounding = epsilon(Dtype::float32) *
        mx::sum(mx::abs(weights)).item<float>() / 0.01;
    EXPECT_NEAR(analytic, fine, std::abs(coarse - fine) + rounding) << i;
  }
}

TEST(Attention, LossesAndGradientsAgreeWithMlx) {
  for (const bool causal : {false, true}) {
    const auto problem = make_problem(2, 8, 2, 65, 65, 64, 64, causal);
    const auto x = make(problem);
    const auto weights = normal({2, 8, 65, 64}, 4);
    const auto run = [&](Implementation implementation) {
      AttentionOptions options;
      options.causal = causal;
      options.implementation = implementation;
      return mx::vjp(
          [&](const std::vector<mx::array>& in) {
            return std::vector<mx::array>{
                attention(in[0], in[1], in[2], options)};
          },
          x.list(),
          {weights});
    };
    const auto expected = expect_of(problem, x, weights, mx::zeros({2, 8, 65}));
    for (const auto implementation :
         {Implementation::tessera, Implementation::mlx}) {
      const auto [values, gradients] = run(implementation);
      EXPECT_EQ(difference(expected, values_of(values[0]), &Outputs::O), "");
      EXPECT_EQ(
          difference(expected, values_of(gradients[0]), &Outputs::dQ), "");
      EXPECT_EQ(
          difference(expected, values_of(gradients[1]), &Outputs::dK), "");
      EXPECT_EQ(
          difference(expected, values_of(gradients[2]), &Outputs::dV), "");
    }
  }
}

// Memory beyond inputs, outputs, L and E stays the same when N doubles.
TEST(Attention, MemoryIsLinear) {
  const auto extra = [](int N) {
    const auto problem = make_problem(1, 2, 1, N, N, 32, 32, true);
    const auto x = make(problem);
    mx::eval(x.list());
    mx::synchronize();
    mx::clear_cache();
    mx::reset_peak_memory();
    const auto before = mx::get_active_memory();
    const auto gradients = mx::grad(
        [](const std::vector<mx::array>& in) {
          AttentionOptions options;
          options.causal = true;
          return mx::sum(attention(in[0], in[1], in[2], options));
        },
        {0, 1, 2})(x.list());
    mx::eval(gradients);
    mx::synchronize();
    return mx::get_peak_memory() - before;
  };
  const double small = static_cast<double>(extra(2048));
  const double large = static_cast<double>(extra(4096));
  EXPECT_LT(large, 2.2 * small);
  // A quarter of what the scores of one head alone would take.
  EXPECT_LT(large, 4096.0 * 4096.0);
}

} // namespace
} // namespace tessera::test
