#include "ops/linear.h"

#include "ops/beside_plain.h"

namespace tessera::test {

namespace {

constexpr float scale = 1.5f;

// Inputs of `count` modules: x, then W, bias, A, B of each.
Arrays inputs(const mx::Shape& x, const std::vector<int>& outs, int rank) {
  const int in = x.back();
  Arrays arrays{normal(x, 1)};
  std::uint64_t seed = 2;
  for (const int out : outs) {
    arrays.push_back(normal({out, in}, seed++));
    arrays.push_back(normal({out}, seed++));
    arrays.push_back(normal({in, rank}, seed++));
    arrays.push_back(normal({rank, out}, seed++));
  }
  return arrays;
}

std::vector<ops::Linear> modules_of(const Arrays& x) {
  std::vector<ops::Linear> modules;
  for (std::size_t i = 1; i < x.size(); i += 4) {
    modules.push_back({x[i], x[i + 1], ops::LowRank{x[i + 2], x[i + 3], i}});
  }
  return modules;
}

Arrays ours(const Arrays& x) {
  return ops::linear(x[0], modules_of(x), {scale, 0.0f});
}

Arrays plain(const Arrays& x) {
  Arrays results;
  for (std::size_t i = 1; i < x.size(); i += 4) {
    const auto low =
        mx::matmul(x[0], x[i + 2]) * mx::array(scale, x[0].dtype());
    results.push_back(
        mx::matmul(x[0], mx::transpose(x[i])) + x[i + 1] +
        mx::matmul(low, x[i + 3]));
  }
  return results;
}

TEST(Linear, MatchesFloat64) {
  struct Case {
    mx::Shape x;
    std::vector<int> outs;
    int rank;
  };
  for (const Case& c : {
           Case{{1, 1}, {1}, 1},
           Case{{3, 7}, {5, 9}, 2},
           Case{{2, 17, 24}, {24, 12, 12}, 4},
           Case{{900, 40}, {33, 64}, 8},
       }) {
    const auto x = inputs(c.x, c.outs, c.rank);
    Arrays cotangents;
    for (const int out : c.outs) {
      auto shape = c.x;
      shape.back() = out;
      cotangents.push_back(normal(shape, 77 + std::uint64_t(out)));
    }
    expect_beside_plain(ours, plain, x, cotangents);
  }
}

// Gradients by some inputs are the same bits as among those by all.
TEST(Linear, GivesTheGradientsThatAreAskedFor) {
  const auto x = inputs({40, 12}, {6, 10}, 3);
  const auto loss = [](const Arrays& in) {
    const auto y = ours(in);
    return mx::sum(mx::square(y[0])) + mx::sum(y[1]);
  };
  std::vector<int> all(x.size());
  std::iota(all.begin(), all.end(), 0);
  const auto every = mx::value_and_grad(loss, all)(x).second;
  for (const std::vector<int>& some :
       {std::vector<int>{0}, {3, 4}, {1}, {2, 7}, {8}}) {
    const auto got = mx::value_and_grad(loss, some)(x).second;
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto& want = every[static_cast<std::size_t>(some[i])];
      EXPECT_TRUE(mx::array_equal(got[i], want).item<bool>()) << some[i];
    }
  }
}

TEST(Linear, IsPlainWithoutBiasAndLora) {
  const auto x = normal({5, 6}, 1);
  const auto W = normal({3, 6}, 2);
  expect_beside_plain(
      [](const Arrays& in) {
        return ops::linear(in[0], {{in[1], {}, {}}});
      },
      [](const Arrays& in) -> Arrays {
        return {mx::matmul(in[0], mx::transpose(in[1]))};
      },
      {x, W},
      {normal({5, 3}, 3)});
}

// With W = 0, A = B = I the output is what dropout leaves of x.
mx::array dropped(const mx::array& x, std::uint64_t seed, float p) {
  const int n = x.shape(1);
  const auto one = mx::eye(n);
  return ops::linear(
      x, {{mx::zeros({n, n}), {}, ops::LowRank{one, one, seed}}}, {1.0f, p})[0];
}

TEST(Linear, DropoutKeepsItsShareAndTheMean) {
  const auto x = mx::ones({600, 50});
  const auto y = dropped(x, 9, 0.3f);
  const double kept =
      mx::mean(mx::astype(y != mx::array(0.0f), mx::float32)).item<float>();
  // 30000 draws: a standard deviation of 0.0026.
  EXPECT_NEAR(kept, 0.7, 0.011);
  EXPECT_NEAR(mx::mean(y).item<float>(), 1.0, 0.016);
  EXPECT_TRUE(mx::array_equal(y, dropped(x, 9, 0.3f)).item<bool>());
  EXPECT_FALSE(mx::array_equal(y, dropped(x, 10, 0.3f)).item<bool>());
}

// Rows are not repeats of each other, nor features.
TEST(Linear, DropoutDrawsEachElementApart) {
  const auto y = dropped(mx::ones({64, 64}), 3, 0.5f);
  for (const int axis : {0, 1}) {
    const auto sums = mx::sum(y, axis);
    EXPECT_GT(mx::var(sums).item<float>(), 30.0f); // 64 expected
    EXPECT_LT(mx::var(sums).item<float>(), 130.0f);
  }
}

TEST(Linear, BackwardDropsWhatForwardDropped) {
  const auto x = normal({300, 20}, 6);
  const auto gradient = mx::grad(
      [](const mx::array& in) { return mx::sum(dropped(in, 4, 0.4f)); })(x);
  const auto once = dropped(mx::ones({300, 20}), 4, 0.4f);
  EXPECT_TRUE(mx::array_equal(gradient, once).item<bool>());

  // dA = x'^T dlow with dlow = 1.
  const auto A = normal({20, 2}, 7);
  const auto dA = mx::grad([&](const mx::array& a) {
    return mx::sum(ops::linear(
        x,
        {{mx::zeros({1, 20}), {}, ops::LowRank{a, mx::ones({2, 1}), 4}}},
        {1.0f, 0.4f})[0]);
  })(A);
  const auto want =
      mx::matmul(mx::transpose(dropped(x, 4, 0.4f)), mx::ones({300, 2}));
  EXPECT_TRUE(mx::allclose(dA, want, 1e-5, 1e-5).item<bool>());
}

TEST(Linear, SixteenBitsGoThroughMlx) {
  const auto x = inputs({9, 8}, {4}, 2);
  const auto y = ours(in_dtype(x, mx::bfloat16))[0];
  EXPECT_EQ(y.dtype(), mx::bfloat16);
  EXPECT_TRUE(mx::allclose(mx::astype(y, mx::float32), ours(x)[0], 0.1, 0.1)
                  .item<bool>());
}

} // namespace

} // namespace tessera::test
