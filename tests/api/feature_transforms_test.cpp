#include <gtest/gtest.h>

#include "api/feature_call.h"
#include "tessera/error.h"
#include "tessera/profile.h"

// A call with every array there is, under each of MLX's transformations: each
// result has the bits of the plain call, which features_test.cpp holds to plain
// operations.
namespace tessera::test {
namespace {

using List = std::vector<mx::array>;

const Problem shapes = make_problem(2, 4, 2, 9, 12, 8, 16, true);

// The arrays of a call, in this order.
enum Slot {
  Q,
  K,
  V,
  bias,
  alibi,
  sinks,
  mask,
  seg_q,
  seg_k,
  prefix,
  seed,
  list
};
constexpr std::size_t slots = 12;
constexpr int block_rows = 4;
constexpr int block_columns = 5;

AttentionOptions options_of(const List& in) {
  AttentionOptions o;
  o.causal = true;
  o.window = Window{9, 5};
  o.softcap = 2.0f;
  o.bias = in[bias];
  o.alibi = in[alibi];
  o.sinks = in[sinks];
  o.mask = in[mask];
  o.segments = Segments{in[seg_q], in[seg_k]};
  o.prefix = in[prefix];
  o.dropout = 0.25f;
  o.seed = in[seed];
  o.blocks = BlockList{in[list], block_rows, block_columns};
  return o;
}

// `batch` is that of bias, mask and block list: B or 1. `from` sets the draws.
List arrays(const Problem& p, int batch, unsigned from = 1) {
  const auto whole = [&](mx::Shape shape, int count, unsigned draw) {
    return mx::random::randint(
        0, count, std::move(shape), mx::int32, mx::random::key(from + draw));
  };
  const auto coins = [&](mx::Shape shape, unsigned draw) {
    return mx::random::bernoulli(
        0.8f, std::move(shape), mx::random::key(from + draw));
  };
  const int R = (p.Nq + block_rows - 1) / block_rows;
  const int C = (p.Nk + block_columns - 1) / block_columns;
  return {
      normal({p.B, p.Hq, p.Nq, p.D}, from),
      normal({p.B, p.Hkv, p.Nk, p.D}, from + 1),
      normal({p.B, p.Hkv, p.Nk, p.Dv}, from + 2),
      normal({batch, p.Hq, 1, p.Nk}, from + 3),
      mx::abs(normal({p.Hq}, from + 4)),
      normal({p.Hq}, from + 5),
      coins({batch, 1, p.Nq, p.Nk}, 6),
      whole({p.B, p.Nq}, 2, 7),
      whole({p.B, p.Nk}, 2, 8),
      whole({p.B}, p.Nk, 9),
      whole({}, 1000, 10),
      coins({batch, p.Hq, R, C}, 11)};
}

// O, L and the gradients by Q, K, V, bias, slopes and sinks at cotangents that
// need no further array.
List forward_and_backward(const List& in) {
  const auto function = [&](const List& x) {
    List all = in;
    std::copy(x.begin(), x.end(), all.begin());
    const auto out =
        attention_with_logsumexp(all[Q], all[K], all[V], options_of(all));
    return List{out.O, out.L};
  };
  const auto& q = in[Q];
  const mx::Shape rows = {q.shape(0), q.shape(1), q.shape(2)};
  auto dL = mx::broadcast_to(mx::array(0.5f), rows);
  auto dO = mx::broadcast_to(
      mx::arange(0.0f, 1.0f, 1.0f / static_cast<float>(in[V].shape(3))),
      {rows[0], rows[1], rows[2], in[V].shape(3)});
  auto [values, gradients] =
      mx::vjp(function, List(in.begin(), in.begin() + mask), {dO, dL});
  values.insert(values.end(), gradients.begin(), gradients.end());
  return values;
}

mx::array loss(const List& in) {
  const auto out =
      attention_with_logsumexp(in[Q], in[K], in[V], options_of(in));
  return mx::sum(mx::sin(out.O)) + mx::sum(mx::cos(out.L));
}

const std::vector<int> floats = {Q, K, V, bias, alibi, sinks};

TEST(FeatureTransforms, ValueAndGradAndCheckpoint) {
  const auto in = arrays(shapes, 2);
  const auto [value, gradients] = mx::value_and_grad(loss, floats)(in);
  EXPECT_TRUE(same_bits(value, loss(in)));
  const auto recomputed = mx::grad(
      [](const List& x) {
        return mx::checkpoint([](const List& y) { return List{loss(y)}; })(
            x)[0];
      },
      floats)(in);
  for (std::size_t k = 0; k < floats.size(); ++k) {
    EXPECT_EQ(gradients[k].shape(), in[k].shape());
    EXPECT_TRUE(same_bits(recomputed[k], gradients[k])) << k;
  }
}

TEST(FeatureTransforms, CompileTakesNewArraysAndSeeds) {
  const auto compiled = mx::compile(forward_and_backward);
  std::vector<List> outputs;
  for (const unsigned from : {1u, 50u}) {
    const auto in = arrays(shapes, 2, from);
    const auto expected = forward_and_backward(in);
    outputs.push_back(compiled(in));
    for (std::size_t k = 0; k < expected.size(); ++k) {
      EXPECT_TRUE(same_bits(outputs.back()[k], expected[k])) << k;
    }
  }
  // The seed alone is new.
  auto in = arrays(shapes, 2, 50u);
  in[seed] = in[seed] + mx::array(1);
  const auto expected = forward_and_backward(in);
  const auto got = compiled(in);
  EXPECT_TRUE(same_bits(got[0], expected[0]));
  EXPECT_FALSE(same_bits(got[0], outputs.back()[0]));
}

// Two calls that differ in a number or in which arrays they have are not one.
TEST(FeatureTransforms, CompileKeepsUnlikeCallsApart) {
  const auto in = arrays(shapes, 2);
  const auto two = [](const List& x) {
    auto other = options_of(x);
    other.dropout = 0.5f;
    auto narrower = options_of(x);
    narrower.window = Window{2, 0};
    return List{
        attention(x[Q], x[K], x[V], options_of(x)),
        attention(x[Q], x[K], x[V], other),
        attention(x[Q], x[K], x[V], narrower)};
  };
  const auto got = mx::compile(two)(in);
  const auto expected = two(in);
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_TRUE(same_bits(got[k], expected[k])) << k;
  }
  EXPECT_FALSE(same_bits(got[0], got[1]));
  EXPECT_FALSE(same_bits(got[0], got[2]));
}

// `in` with three entries along `axes[i]` of each array that is mapped.
List spread(const Problem& p, int batch, const std::vector<int>& axes) {
  List all = arrays(p, batch);
  for (std::size_t i = 0; i < slots; ++i) {
    if (axes[i] >= 0) {
      List entries;
      for (const unsigned from : {1u, 20u, 40u}) {
        entries.push_back(arrays(p, batch, from)[i]);
      }
      all[i] = mx::stack(entries, axes[i]);
    }
  }
  return all;
}

void expect_entries_alone(
    const Problem& p, int batch, const std::vector<int>& axes) {
  const auto in = spread(p, batch, axes);
  const auto mapped = mx::vmap(forward_and_backward, axes)(in);
  for (int e = 0; e < 3; ++e) {
    List one;
    for (std::size_t i = 0; i < slots; ++i) {
      one.push_back(axes[i] < 0 ? in[i] : mx::take(in[i], e, axes[i]));
    }
    const auto expected = forward_and_backward(one);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      EXPECT_TRUE(same_bits(mx::take(mapped[k], e, 0), expected[k]))
          << "entry " << e << ", output " << k << ", batch " << p.B << ", "
          << batch;
    }
  }
}

TEST(FeatureTransforms, VmapOverEachArrayAndOverAll) {
  for (const int B : {1, 2}) {
    auto p = shapes;
    p.B = B;
    for (const int batch : {1, B}) {
      expect_entries_alone(p, batch, std::vector<int>(slots, 0));
      for (std::size_t i = 0; i < slots; ++i) {
        SCOPED_TRACE(i);
        std::vector<int> axes(slots, -1);
        axes[i] = 0;
        expect_entries_alone(p, batch, axes);
      }
      // The last place that each array has for the axis.
      std::vector<int> last = {3, 3, 3, 3, 1, 1, 3, 1, 1, 1, 0, 3};
      expect_entries_alone(p, batch, last);
    }
  }
}

// One call for all entries: no sink, seed or sum over the batch is in the way.
TEST(FeatureTransforms, VmapOfTheFoldableArrays) {
  const auto call = [](const List& in) {
    auto o = options_of(in);
    o.sinks = std::nullopt;
    o.dropout = 0;
    const auto by_QKV = [&](const List& x) {
      return List{attention(x[0], x[1], x[2], o)};
    };
    return mx::vjp(
               by_QKV,
               {in[Q], in[K], in[V]},
               {mx::ones({in[Q].shape(0), 4, 9, 16})})
        .second;
  };
  for (const int B : {1, 2}) {
    auto p = shapes;
    p.B = B;
    for (std::size_t i = 0; i < slots; ++i) {
      std::vector<int> axes(slots, -1);
      axes[i] = 0;
      axes[Q] = 1;
      const auto in = spread(p, B, axes);
      const auto mapped = mx::vmap(call, axes)(in);
      for (int e = 0; e < 3; ++e) {
        List one;
        for (std::size_t k = 0; k < slots; ++k) {
          one.push_back(axes[k] < 0 ? in[k] : mx::take(in[k], e, axes[k]));
        }
        const auto expected = call(one);
        for (std::size_t k = 0; k < 3; ++k) {
          EXPECT_TRUE(same_bits(mx::take(mapped[k], e, 0), expected[k]))
              << i << ", output " << k;
        }
      }
    }
  }
}

// How many calls of the kernels a mapped forward pass takes.
TEST(FeatureTransforms, VmapJoinsTheBatchWhereItCan) {
  const auto calls = [](int B, int batch, const std::vector<Slot>& mapped) {
    auto p = shapes;
    p.B = B;
    std::vector<int> axes(slots, -1);
    for (const auto slot : mapped) {
      axes[slot] = 0;
    }
    const auto before = attention_profile().total().calls;
    mx::eval(mx::vmap(
        [](const List& in) {
          auto o = options_of(in);
          o.dropout = 0;
          return List{attention(in[Q], in[K], in[V], o)};
        },
        axes)(spread(p, batch, axes)));
    return attention_profile().total().calls - before;
  };
  EXPECT_EQ(calls(2, 1, {Q}), 1);
  EXPECT_EQ(calls(1, 1, {Q, mask, bias, list, seg_k}), 1);
  EXPECT_EQ(calls(2, 2, {Q, mask, bias, list, prefix}), 1);
  EXPECT_EQ(calls(2, 2, {Q}), 3);
  EXPECT_EQ(calls(2, 1, {Q, mask}), 3);
  EXPECT_EQ(calls(1, 1, {Q, sinks}), 3);
}

TEST(FeatureTransforms, VmapOfNoEntries) {
  auto in = arrays(shapes, 2);
  in[Q] = mx::zeros({0, 2, 4, 9, 8});
  std::vector<int> axes(slots, -1);
  axes[Q] = 0;
  const auto mapped = mx::vmap(forward_and_backward, axes)(in);
  EXPECT_EQ(mapped[0].shape(), (mx::Shape{0, 2, 4, 9, 16}));
  EXPECT_EQ(mapped.back().shape(), (mx::Shape{0, 4}));
  mx::eval(mapped);
}

TEST(FeatureTransforms, NestedVmap) {
  const auto in = arrays(shapes, 2);
  const auto bias_of = [&](int a, int b) {
    return normal({2, 4, 1, 12}, static_cast<unsigned>(60 + 2 * a + b));
  };
  const auto all = mx::stack(
      {mx::stack({bias_of(0, 0), bias_of(0, 1)}),
       mx::stack({bias_of(1, 0), bias_of(1, 1)})});
  const auto one = [&](const List& x) {
    List changed = in;
    changed[bias] = x[0];
    return forward_and_backward(changed);
  };
  const auto mapped =
      mx::vmap([&](const List& x) { return mx::vmap(one)(x); })({all});
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 2; ++b) {
      const auto expected = one({bias_of(a, b)});
      for (std::size_t k = 0; k < expected.size(); ++k) {
        EXPECT_TRUE(
            same_bits(mx::take(mx::take(mapped[k], a, 0), b, 0), expected[k]))
            << k;
      }
    }
  }
}

// A traced value may feed what has no gradient: it gets zeros.
TEST(FeatureTransforms, MasksAndSeedsThatDependOnAnArgument) {
  const auto in = arrays(shapes, 2);
  const auto function = [&](const mx::array& x) {
    List all = in;
    const auto step = mx::astype(mx::sum(x) > mx::array(0.0f), mx::int32);
    all[bias] = x;
    all[mask] = mx::broadcast_to(x, {2, 4, 9, 12}) > mx::array(-1.0f);
    all[seed] = in[seed] + step;
    all[prefix] = in[prefix] + step;
    all[seg_q] = in[seg_q] + step;
    all[seg_k] = in[seg_k] + step;
    all[list] = mx::logical_and(in[list], mx::sum(x) > mx::array(-1e6f));
    return loss(all);
  };
  const auto gradient = mx::grad(function)(in[bias]);
  List all = in;
  const int step = mx::sum(in[bias]).item<float>() > 0;
  all[mask] = mx::broadcast_to(in[bias], {2, 4, 9, 12}) > mx::array(-1.0f);
  for (const auto slot : {seed, prefix, seg_q, seg_k}) {
    all[slot] = all[slot] + mx::array(step);
  }
  EXPECT_TRUE(same_bits(gradient, mx::grad(loss, {bias})(all)[0]));
}

TEST(FeatureTransforms, AForwardDerivativeIsRefused) {
  const auto in = arrays(shapes, 2);
  try {
    mx::jvp(
        [&](const List& x) {
          return List{attention(x[0], in[K], in[V], options_of(in))};
        },
        {in[Q]},
        {mx::ones_like(in[Q])});
    FAIL() << "a forward derivative came";
  } catch (const InputError& error) {
    EXPECT_STREQ(
        error.what(),
        "[attention] expected a gradient in reverse (grad, vjp); got a forward "
        "one (jvp)");
  }
}

} // namespace
} // namespace tessera::test
