#include "ops/rope.h"

#include <mlx/fast.h>

#include "ops/beside_plain.h"

namespace tessera::test {

namespace {

std::vector<float> wavelengths(int head_dim) {
  std::vector<float> result;
  for (int i = 0; i < head_dim; i += 2) {
    result.push_back(std::pow(100.0f, float(i) / float(head_dim)));
  }
  return result;
}

// Pair by pair, on the host's cosines and sines.
Function plain(const ops::Rotation& rotation, int heads, int head_dim) {
  return [=](const Arrays& x) -> Arrays {
    const int half = head_dim / 2;
    const auto cosine =
        mx::expand_dims(mx::astype(rotation.cosine, x[0].dtype()), 2);
    const auto sine =
        mx::expand_dims(mx::astype(rotation.sine, x[0].dtype()), 2);
    const auto split = mx::split(
        mx::reshape(x[0], {x[0].shape(0), x[0].shape(1), heads, 2 * half}),
        2,
        -1);
    return {mx::reshape(
        mx::concatenate(
            {split[0] * cosine - split[1] * sine,
             split[1] * cosine + split[0] * sine},
            -1),
        x[0].shape())};
  };
}

TEST(Rope, MatchesFloat64) {
  for (const int D : {2, 6, 64, 128}) {
    for (const int heads : {1, 3}) {
      const auto positions = mx::reshape(mx::arange(40), {1, 40});
      const auto rotation = ops::rotation_of(positions, wavelengths(D));
      const mx::Shape shape{2, 40, heads * D};
      expect_beside_plain(
          [&](const Arrays& x) -> Arrays {
            return {ops::rope(x[0], D, rotation)};
          },
          plain(rotation, heads, D),
          {normal(shape, 1)},
          {normal(shape, 2)});
    }
  }
}

TEST(Rope, TurnsAsMlxDoes) {
  const int D = 16;
  const auto x = normal({2, 9, 3 * D}, 3);
  const auto w = wavelengths(D);
  const auto ours = ops::rope(
      x, D, ops::rotation_of(mx::reshape(mx::arange(5, 14), {1, 9}), w));
  const auto per_head = mx::swapaxes(mx::reshape(x, {2, 9, 3, D}), 1, 2);
  const auto theirs = mx::fast::rope(
      per_head, D, false, std::nullopt, 1.0f, 5, mx::array(w.data(), {D / 2}));
  const auto back = mx::reshape(mx::swapaxes(theirs, 1, 2), x.shape());
  EXPECT_TRUE(mx::allclose(ours, back, 1e-5, 1e-6).item<bool>());
}

// Packed rows: each document's positions begin anew.
TEST(Rope, FollowsPositionsOfEachRow) {
  const int D = 8;
  const auto w = wavelengths(D);
  const auto x = normal({2, 5, D}, 4);
  const auto positions = mx::array({0, 1, 0, 1, 2, 3, 4, 5, 0, 1}, {2, 5});
  const auto together = ops::rope(x, D, ops::rotation_of(positions, w));
  for (int b = 0; b < 2; ++b) {
    for (int i = 0; i < 5; ++i) {
      const mx::Shape from{b, i, 0}, to{b + 1, i + 1, D};
      const auto position = mx::slice(positions, {b, i}, {b + 1, i + 1});
      const auto alone =
          ops::rope(mx::slice(x, from, to), D, ops::rotation_of(position, w));
      EXPECT_TRUE(
          mx::array_equal(alone, mx::slice(together, from, to)).item<bool>());
    }
  }
}

// It works in its input's memory where nobody else reads that.
TEST(Rope, LeavesAnInputThatIsStillReadAlone) {
  const auto x = normal({1, 4, 8}, 5);
  const auto before = doubles(x);
  auto y = ops::rope(
      x, 8, ops::rotation_of(mx::array({1, 2, 3, 4}, {1, 4}), wavelengths(8)));
  y.eval();
  EXPECT_EQ(doubles(x), before);
}

} // namespace

} // namespace tessera::test
