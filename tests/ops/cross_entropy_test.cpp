#include "ops/cross_entropy.h"

#include "ops/beside_plain.h"

namespace tessera::test {

namespace {

Function plain(const mx::array& targets) {
  return [targets](const Arrays& x) -> Arrays {
    const auto logits = mx::matmul(x[0], mx::transpose(x[1]));
    const auto at = mx::take_along_axis(logits, mx::expand_dims(targets, 1), 1);
    return {mx::sum(mx::logsumexp(logits, 1) - mx::squeeze(at, 1))};
  };
}

Function ours(const mx::array& targets, std::int64_t bytes) {
  return [=](const Arrays& x) -> Arrays {
    return {
        ops::linear_cross_entropy(x[0], x[1], targets, {bytes, true, true})};
  };
}

mx::array draw_targets(int rows, int vocab) {
  return mx::random::randint(0, vocab, {rows}, mx::int32, mx::random::key(3));
}

constexpr std::int64_t plenty = std::int64_t{1} << 30;

TEST(CrossEntropy, MatchesFloat64) {
  for (const int vocab : {1, 2, 15, 17, 33, 1000}) {
    for (const float size : {0.01f, 1.0f, 5.0f}) {
      SCOPED_TRACE(testing::Message() << vocab << " of " << size);
      const auto targets = draw_targets(7, vocab);
      expect_beside_plain(
          ours(targets, plenty),
          plain(targets),
          {normal({7, 12}, 1, size), normal({vocab, 12}, 2, size)},
          {mx::array(0.7f)});
    }
  }
}

// Chunks of one row, of three, and of more than there are.
TEST(CrossEntropy, MatchesFloat64InChunks) {
  const int vocab = 65;
  const auto targets = draw_targets(40, vocab);
  for (const std::int64_t bytes : {1, 3 * 65 * 4 + 7, 39 * 65 * 4}) {
    expect_beside_plain(
        ours(targets, bytes),
        plain(targets),
        {normal({40, 12}, 1), normal({vocab, 12}, 2)},
        {mx::array(1.0f)});
  }
}

// 4000 x 8000 logits would take 128 MB.
TEST(CrossEntropy, NeverHoldsTheLogitsWhole) {
  const auto hidden = normal({4000, 16}, 1);
  const auto W = normal({8000, 16}, 2);
  const auto targets = draw_targets(4000, 8000);
  mx::eval(hidden, W, targets);
  mx::reset_peak_memory();
  const auto before = mx::get_active_memory();
  const auto all =
      with_gradients(ours(targets, 1 << 20), {hidden, W}, {mx::array(1.0f)});
  mx::eval(all);
  EXPECT_LT(mx::get_peak_memory() - before, std::size_t{6} << 20);
}

TEST(CrossEntropy, CarriesNonFiniteValues) {
  const auto W = mx::array({1.0f, 1.0f}, {2, 1});
  for (const float bad : {NAN, INFINITY}) {
    auto loss = ops::linear_cross_entropy(
        mx::array({1.0f, bad}, {2, 1}), W, mx::array({0, 1}), {});
    EXPECT_FALSE(std::isfinite(loss.item<float>()));
  }
}

TEST(CrossEntropy, RefusesAGradientThatWasNotAnnounced) {
  const auto targets = mx::array({0});
  const auto loss = [&](const mx::array& hidden) {
    return ops::linear_cross_entropy(hidden, mx::ones({2, 1}), targets, {});
  };
  EXPECT_THROW(mx::grad(loss)(mx::ones({1, 1})), std::logic_error);
}

TEST(CrossEntropy, SixteenBitsGoThroughMlx) {
  const auto targets = draw_targets(30, 50);
  const Arrays x{normal({30, 8}, 1), normal({50, 8}, 2)};
  auto value = [](mx::array loss) {
    return loss.item<float>();
  };
  const float exact = value(ours(targets, plenty)(x)[0]);
  const auto half = in_dtype(x, mx::bfloat16);
  const float whole = value(ours(targets, plenty)(half)[0]);
  const auto chunks =
      with_gradients(ours(targets, 7 * 50 * 4), half, {mx::array(1.0f)});
  EXPECT_NEAR(whole, exact, 0.02 * exact);
  EXPECT_NEAR(value(chunks[0]), whole, 1e-3 * exact);
  EXPECT_EQ(chunks[1].dtype(), mx::bfloat16);
}

} // namespace

} // namespace tessera::test
