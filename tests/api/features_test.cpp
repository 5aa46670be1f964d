#include <gtest/gtest.h>

#include "api/feature_call.h"

// Each feature alone and together with others, against plain MLX operations.
namespace tessera::test {
namespace {

const Problem shapes = make_problem(2, 4, 2, 33, 40, 16, 24, false);

mx::array coins(mx::Shape shape, float p, unsigned seed) {
  return mx::random::bernoulli(p, std::move(shape), mx::random::key(seed));
}

mx::array ids(mx::Shape shape, int count, unsigned seed) {
  return mx::random::randint(
      0, count, std::move(shape), mx::int32, mx::random::key(seed));
}

AttentionOptions ours() {
  AttentionOptions o;
  o.implementation = Implementation::tessera;
  return o;
}

AttentionOptions causal() {
  auto o = ours();
  o.causal = true;
  return o;
}

Segments segments(const Problem& p) {
  return {ids({p.B, p.Nq}, 3, 11), ids({p.B, p.Nk}, 3, 12)};
}

BlockList blocks(const Problem& p, int B, int H) {
  const int R = (p.Nq + 4) / 5;
  const int C = (p.Nk + 8) / 9;
  return {coins({B, H, R, C}, 0.6f, 13), 5, 9};
}

void expect_right(
    const Problem& p,
    const AttentionOptions& options,
    mx::Dtype dtype = mx::float32) {
  const FeatureCall call{p, make(p, dtype), options};
  EXPECT_EQ(wrong(call, outcome(call)), "");
}

// Random123's known answers.
TEST(Features, Window) {
  for (const auto& window :
       {Window{3, 2}, Window{0, 0}, Window{5, {}}, Window{{}, 0}, Window{}}) {
    for (const bool also_causal : {false, true}) {
      auto o = also_causal ? causal() : ours();
      o.window = window;
      expect_right(shapes, o);
      // Queries in front of all keys, which may see none.
      expect_right(make_problem(1, 2, 1, 40, 9, 8, 8, false), o);
    }
  }
}

TEST(Features, Segments) {
  for (const bool also_causal : {false, true}) {
    auto o = also_causal ? causal() : ours();
    o.segments = segments(shapes);
    expect_right(shapes, o);
    o.segments->q = mx::astype(o.segments->q, mx::int64);
    o.segments->k = mx::astype(o.segments->k, mx::uint8);
    expect_right(shapes, o);
    o.window = Window{9, 4};
    expect_right(shapes, o);
  }
}

TEST(Features, PrefixAndChunk) {
  auto o = causal();
  for (const auto& prefix :
       {mx::array(12), mx::array(0), mx::array(100), mx::array({3, 39})}) {
    o.prefix = prefix;
    expect_right(shapes, o);
  }
  o.window = Window{6, 20};
  expect_right(shapes, o);
  o = causal();
  for (const int chunk : {1, 7, 16, 1000}) {
    o.chunk = chunk;
    expect_right(shapes, o);
    expect_right(make_problem(1, 2, 1, 40, 9, 8, 8, false), o);
  }
}

TEST(Features, MasksOfEveryShape) {
  for (const mx::Shape& shape :
       {mx::Shape{2, 4, 33, 40},
        {1, 1, 33, 40},
        {2, 1, 1, 40},
        {4, 33, 1},
        {33, 40},
        {40},
        {1}}) {
    auto o = ours();
    o.mask = coins(shape, 0.7f, 14);
    expect_right(shapes, o);
  }
  auto o = ours();
  o.mask = mx::swapaxes(coins({2, 1, 40, 33}, 0.2f, 15), 2, 3);
  expect_right(shapes, o);
  o.mask = mx::full({33, 40}, false);
  expect_right(shapes, o);
}

TEST(Features, BiasesOfEveryShape) {
  for (const mx::Shape& shape :
       {mx::Shape{2, 4, 33, 40},
        {1, 4, 33, 40},
        {2, 1, 33, 1},
        {4, 1, 40},
        {33, 40},
        {40},
        {}}) {
    auto o = causal();
    o.bias = normal(shape, 16);
    expect_right(shapes, o);
  }
}

TEST(Features, AlibiSoftcapAndSinks) {
  for (const mx::Shape& shape : {mx::Shape{4}, {2, 4}}) {
    auto o = causal();
    o.alibi = mx::abs(normal(shape, 17));
    expect_right(shapes, o);
  }
  auto o = ours();
  o.softcap = 1.5f;
  expect_right(shapes, o);
  o = causal();
  o.sinks = normal({4}, 18);
  expect_right(shapes, o);
  // Rows that see no key but have a sink.
  expect_right(make_problem(1, 4, 1, 40, 9, 8, 8, false), o);
}

TEST(Features, DropoutAndItsSeeds) {
  auto o = causal();
  o.dropout = 0.3f;
  for (const auto& seed :
       {mx::array(0),
        mx::array(-5),
        mx::array(7u),
        mx::array(std::int64_t{0x123456789abcdef0}),
        mx::array(std::uint64_t{0xfedcba9876543210})}) {
    o.seed = seed;
    expect_right(shapes, o);
  }
}

TEST(Features, BlockLists) {
  for (const int B : {1, 2}) {
    for (const int H : {1, 4}) {
      auto o = H == 1 ? causal() : ours();
      o.blocks = blocks(shapes, B, H);
      expect_right(shapes, o);
    }
  }
}

// Options that meet in one call, by name.
std::vector<std::pair<const char*, AttentionOptions>> combinations(
    const Problem& p) {
  auto packed = causal();
  packed.window = Window{15, 0};
  packed.segments = segments(p);
  packed.sinks = normal({p.Hq}, 21);
  auto prefixed = causal();
  prefixed.prefix = mx::array({4, 11});
  prefixed.softcap = 2.0f;
  prefixed.bias = normal({p.Hq, p.Nq, p.Nk}, 22);
  auto dropped = causal();
  dropped.alibi = mx::abs(normal({p.B, p.Hq}, 23));
  dropped.sinks = normal({p.Hq}, 24);
  dropped.dropout = 0.2f;
  dropped.seed = mx::array(3);
  auto blocked = ours();
  blocked.mask = coins({p.B, 1, p.Nq, p.Nk}, 0.8f, 25);
  blocked.blocks = blocks(p, 1, p.Hq);
  auto all = causal();
  all.window = Window{30, 3};
  all.segments = segments(p);
  all.prefix = mx::array(9);
  all.chunk = 25;
  all.mask = coins({p.Nq, p.Nk}, 0.9f, 26);
  all.bias = normal({p.B, 1, 1, p.Nk}, 27);
  all.alibi = mx::abs(normal({p.Hq}, 28));
  all.softcap = 3.0f;
  all.sinks = normal({p.Hq}, 29);
  all.dropout = 0.1f;
  all.seed = mx::array(99);
  all.blocks = blocks(p, p.B, 1);
  all.scale = 0.4f;
  return {
      {"window, segments, sinks", packed},
      {"prefix, softcap, bias", prefixed},
      {"alibi, sinks, dropout", dropped},
      {"mask, blocks", blocked},
      {"everything", all}};
}

TEST(Features, Together) {
  for (const auto& p :
       {shapes,
        make_problem(2, 7, 1, 17, 31, 8, 8, false),
        make_problem(2, 3, 3, 31, 17, 8, 16, false)}) {
    for (const auto& [name, options] : combinations(p)) {
      SCOPED_TRACE(name);
      expect_right(p, options);
    }
  }
}

TEST(Features, TogetherIn16Bits) {
  for (const auto dtype : {mx::float16, mx::bfloat16}) {
    for (const auto& [name, options] : combinations(shapes)) {
      SCOPED_TRACE(name);
      expect_right(shapes, options, dtype);
    }
  }
}

// Bias, slopes and sinks of one dtype, Q of another; gradients in their own.
TEST(Features, ArraysHaveTheirOwnDtypes) {
  for (const auto dtype : {mx::float32, mx::float16, mx::bfloat16}) {
    auto o = causal();
    o.bias = normal({4, 1, 40}, 31, dtype);
    o.alibi = mx::abs(normal({4}, 32, dtype));
    o.sinks = normal({4}, 33, dtype);
    for (const auto inputs : {mx::float32, mx::bfloat16}) {
      const FeatureCall call{shapes, make(shapes, inputs), o};
      const auto got = outcome(call);
      EXPECT_EQ(wrong(call, got), "");
      for (std::size_t k = 5; k < got.size(); ++k) {
        EXPECT_EQ(got[k].dtype(), dtype);
      }
    }
  }
}

TEST(Features, ReadsStridedArrays) {
  auto o = causal();
  o.bias = mx::transpose(normal({40, 33, 4, 2}, 34), {3, 2, 1, 0});
  o.segments = Segments{
      mx::swapaxes(ids({33, 2}, 3, 35), 0, 1),
      mx::slice(ids({2, 80}, 3, 36), {0, 0}, {2, 80}, {1, 2})};
  o.alibi = mx::swapaxes(mx::abs(normal({4, 2}, 37)), 0, 1);
  o.sinks = mx::slice(normal({8}, 38), {0}, {8}, {2});
  expect_right(shapes, o);
}

TEST(Features, EachSeedDrawsAnew) {
  const auto x = make(shapes);
  auto o = causal();
  o.dropout = 0.5f;
  const auto draw = [&](int seed) {
    o.seed = mx::array(seed);
    return attention(x.Q, x.K, x.V, o);
  };
  EXPECT_TRUE(same_bits(draw(1), draw(1)));
  EXPECT_FALSE(same_bits(draw(1), draw(2)));
  // A dropout of 0 needs no seed and ignores one.
  o.dropout = 0;
  EXPECT_TRUE(same_bits(draw(1), draw(2)));
}

TEST(Features, AGradientAloneHasTheBitsOfAll) {
  const auto p = shapes;
  const auto options = combinations(p).back().second;
  const FeatureCall call{p, make(p), options};
  const auto loss = [&](const std::vector<mx::array>& in) {
    return mx::sum(mx::sin(attention(in[0], in[1], in[2], with(options, in))));
  };
  const auto all = mx::grad(loss, {0, 1, 2, 3, 4, 5})(call.arguments());
  for (int i = 0; i < 6; ++i) {
    const auto one = mx::grad(loss, {i})(call.arguments());
    EXPECT_TRUE(same_bits(one[0], all[static_cast<std::size_t>(i)])) << i;
  }
}

// A bias of -inf keeps a key out as a mask does, whole rows of it included.
TEST(Features, ABiasOfMinusInfinityIsAMask) {
  const auto x = make(shapes);
  auto masked = causal();
  masked.mask =
      mx::logical_and(coins({33, 40}, 0.6f, 41), coins({33, 1}, 0.8f, 42));
  auto biased = causal();
  biased.bias = mx::where(*masked.mask, mx::array(0.0f), mx::array(-INFINITY));
  const FeatureCall expected{shapes, x, masked};
  const auto got = outcome({shapes, x, biased});
  const auto exactly = plain_results(expected, mx::float64, exact());
  const auto plainly =
      plain_results(expected, mx::float32, rounded_to(mx::float32));
  const auto magnitude = magnitudes(expected);
  for (std::size_t k = 0; k < 5; ++k) {
    EXPECT_EQ(
        too_far(
            doubles_of(got[k]),
            doubles_of(exactly[k]),
            doubles_of(plainly[k]),
            doubles_of(magnitude[k]),
            epsilon_of(mx::float32)),
        "")
        << k;
  }
  const auto outside = mx::where(*masked.mask, mx::array(0.0f), got[5]);
  EXPECT_EQ(mx::max(mx::abs(outside)).item<float>(), 0.0f);
}

// Every gradient is written, where nothing is summed too.
TEST(Features, EmptyAxesGiveZeros) {
  for (const auto& p :
       {make_problem(1, 4, 2, 0, 3, 8, 8, false),
        make_problem(1, 4, 2, 3, 0, 8, 8, false),
        make_problem(0, 4, 2, 3, 3, 8, 8, false)}) {
    auto o = causal();
    o.bias = normal({4, 1, 1}, 43);
    o.alibi = mx::abs(normal({4}, 44));
    o.sinks = normal({4}, 45);
    const FeatureCall call{p, make(p), o};
    const auto got = outcome(call);
    EXPECT_EQ(values_of(got[0]), Values(got[0].size(), 0));
    EXPECT_EQ(got[5].shape(), (mx::Shape{4, 1, 1}));
    EXPECT_EQ(values_of(got[5]), Values(4, 0));
    EXPECT_EQ(values_of(got[6]), Values(4, 0));
    if (p.Nk == 0) {
      const auto sinks = mx::reshape(*o.sinks, {1, 4, 1});
      EXPECT_TRUE(same_bits(got[1], mx::broadcast_to(sinks, {1, 4, 3})));
      // L is the sink, so the sink's gradient is dL's sum.
      const auto dL = mx::astype(call.dL(), mx::float64);
      EXPECT_EQ(
          too_far(
              doubles_of(got[7]),
              doubles_of(mx::sum(dL, {0, 2})),
              doubles_of(mx::sum(call.dL(), {0, 2})),
              doubles_of(mx::sum(mx::abs(dL), {0, 2})),
              epsilon_of(mx::float32)),
          "");
    }
  }
}

} // namespace
} // namespace tessera::test
