#include <gtest/gtest.h>

#include "api/arrays.h"
#include "tessera/error.h"

// The node under each of MLX's transformations, held to the plain call, which
// attention_test.cpp holds to the reference.
namespace tessera::test {
namespace {

AttentionOptions causal_options() {
  AttentionOptions options;
  options.causal = true;
  return options;
}

mx::array loss(const std::vector<mx::array>& in) {
  const auto out =
      attention_with_logsumexp(in[0], in[1], in[2], causal_options());
  return mx::sum(mx::sin(out.O)) + mx::sum(mx::cos(out.L));
}

const Problem problem = make_problem(2, 4, 2, 9, 12, 8, 16, true);

TEST(Transforms, GradAndValueAndGrad) {
  const auto x = make(problem);
  const auto [value, gradients] = mx::value_and_grad(loss, {0, 1, 2})(x.list());
  EXPECT_TRUE(same_bits(value, loss(x.list())));
  const auto alone = mx::grad(loss, {0, 1, 2})(x.list());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(gradients[i].shape(), x.list()[i].shape());
    EXPECT_TRUE(same_bits(gradients[i], alone[i]));
  }
}

TEST(Transforms, AGradientAloneHasTheBitsOfAll) {
  const auto x = make(problem);
  const auto all = mx::grad(loss, {0, 1, 2})(x.list());
  for (const std::vector<int>& wanted :
       {std::vector<int>{0}, {1}, {2}, {0, 2}, {1, 2}}) {
    const auto some = mx::grad(loss, wanted)(x.list());
    ASSERT_EQ(some.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_TRUE(same_bits(some[i], all[static_cast<std::size_t>(wanted[i])]));
    }
  }
}

// O, L and the gradients at given cotangents, in[3] and in[4]: the node alone,
// since compile may round the elementwise operations around it otherwise.
std::vector<mx::array> forward_and_backward(const std::vector<mx::array>& in) {
  const auto function = [](const std::vector<mx::array>& x) {
    const auto out =
        attention_with_logsumexp(x[0], x[1], x[2], causal_options());
    return std::vector<mx::array>{out.O, out.L};
  };
  auto [values, gradients] =
      mx::vjp(function, {in[0], in[1], in[2]}, {in[3], in[4]});
  values.insert(values.end(), gradients.begin(), gradients.end());
  return values;
}

TEST(Transforms, Compile) {
  const auto compiled = mx::compile(forward_and_backward);
  // The first call of a shape traces, the second does not.
  for (const int Nq : {9, 9, 5}) {
    auto in = make(make_problem(2, 4, 2, Nq, 12, 8, 16, true)).list();
    in.push_back(normal({2, 4, Nq, 16}, 4));
    in.push_back(normal({2, 4, Nq}, 5));
    const auto expected = forward_and_backward(in);
    const auto got = compiled(in);
    ASSERT_EQ(got.size(), 5u);
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_TRUE(same_bits(got[i], expected[i])) << i;
    }
  }
}

TEST(Transforms, Checkpoint) {
  const auto x = make(problem);
  const auto function = [](const std::vector<mx::array>& in) {
    return std::vector<mx::array>{loss(in)};
  };
  const auto kept = mx::grad(loss, {0, 1, 2})(x.list());
  const auto recomputed = mx::grad(
      [&](const std::vector<mx::array>& in) {
        return mx::checkpoint(function)(in)[0];
      },
      {0, 1, 2})(x.list());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(same_bits(recomputed[i], kept[i]));
  }
}

// Slices of every input along `axis`, three of them, computed one by one.
std::vector<mx::array> stacked(const std::vector<mx::array>& in, int index) {
  std::vector<mx::array> out;
  for (const auto& x : in) {
    out.push_back(mx::take(x, index, 0));
  }
  return out;
}

TEST(Transforms, Vmap) {
  std::vector<mx::array> in;
  for (const auto& x : make(problem).list()) {
    auto shape = x.shape();
    shape.insert(shape.begin(), 3);
    in.push_back(normal(shape, static_cast<unsigned>(in.size()) + 1));
  }
  const auto forward = [](const std::vector<mx::array>& x) {
    const auto out =
        attention_with_logsumexp(x[0], x[1], x[2], causal_options());
    return std::vector<mx::array>{out.O, out.L};
  };
  const auto gradient = [](const std::vector<mx::array>& x) {
    return mx::grad(loss, {0, 1, 2})(x);
  };
  const auto values = mx::vmap(forward)(in);
  const auto gradients = mx::vmap(gradient)(in);
  for (int i = 0; i < 3; ++i) {
    const auto one = forward(stacked(in, i));
    for (std::size_t k = 0; k < 2; ++k) {
      EXPECT_TRUE(same_bits(mx::take(values[k], i, 0), one[k])) << i << k;
    }
    const auto slope = gradient(stacked(in, i));
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_TRUE(same_bits(mx::take(gradients[k], i, 0), slope[k])) << i << k;
    }
  }
}

TEST(Transforms, VmapOverSomeInputsAndInnerAxes) {
  const auto x = make(problem);
  // Q mapped over its axis 2, K and V shared.
  const auto Q = normal({2, 4, 3, 9, 8}, 7);
  const auto mapped = mx::vmap(
      [&](const std::vector<mx::array>& in) {
        return std::vector<mx::array>{
            attention(in[0], in[1], in[2], causal_options())};
      },
      {2, -1, -1},
      {1})({Q, x.K, x.V})[0];
  EXPECT_EQ(mapped.shape(), (mx::Shape{2, 3, 4, 9, 16}));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(same_bits(
        mx::take(mapped, i, 1),
        attention(mx::take(Q, i, 2), x.K, x.V, causal_options())));
  }
}

TEST(Transforms, ASecondDerivativeIsRefused) {
  const auto x = make(problem);
  const auto slope = [&](const mx::array& Q) {
    return mx::sum(mx::grad([&](const mx::array& q) {
      return loss({q, x.K, x.V});
    })(Q));
  };
  try {
    mx::eval(mx::grad(slope)(x.Q));
    FAIL() << "a second derivative came";
  } catch (const InputError& error) {
    EXPECT_NE(
        std::string(error.what()).find("second derivative"), std::string::npos);
  }
}

} // namespace
} // namespace tessera::test
