#include "tessera/profile.h"

#include <gtest/gtest.h>

#include "tessera/attention.h"

namespace tessera {

namespace {

struct Case {
  bool causal;
  double pairs;
};

TEST(Profile, CountsCallsTimeAndUsefulWork) {
  const int B = 2, H = 3, Nq = 5, Nk = 7, D = 4, Dv = 6;
  // Causal, lower right: query i sees i + 3 of the 7 keys.
  for (auto [causal, pairs] : {Case{false, 35}, Case{true, 25}}) {
    auto Q = mx::random::normal({B, H, Nq, D});
    auto K = mx::random::normal({B, H, Nk, D});
    auto V = mx::random::normal({B, H, Nk, Dv});
    AttentionOptions options;
    options.causal = causal;
    options.implementation = Implementation::tessera;
    auto sum = [&](const std::vector<mx::array>& x) {
      return mx::sum(attention(x[0], x[1], x[2], options));
    };
    auto before = attention_profile();
    mx::eval(sum({Q, K, V}));
    auto middle = attention_profile();
    auto first = middle.forward - before.forward;
    EXPECT_EQ(first.calls, 1);
    EXPECT_EQ(first.flops, 2 * (D + Dv) * pairs * B * H);
    EXPECT_GT(first.seconds, 0);
    // Q, K and V read, O and L written, float32.
    const double keys = Nk * (D + Dv), queries = Nq * (D + Dv + 1);
    EXPECT_EQ(first.bytes, 4 * B * H * (keys + queries));
    EXPECT_EQ(middle.backward.calls, before.backward.calls);
    mx::eval(mx::grad(sum, {0, 1, 2})({Q, K, V}));
    auto after = attention_profile();
    EXPECT_EQ((after.forward - middle.forward).calls, 1);
    auto second = after.backward - middle.backward;
    EXPECT_EQ(second.calls, 1);
    EXPECT_EQ(second.flops, 2 * (3 * D + 2 * Dv) * pairs * B * H);
    EXPECT_GT(second.seconds, 0);
    // Q, K, V, O, L, their cotangents dO (one number, broadcast) and dL read,
    // dQ, dK and dV written.
    EXPECT_GE(second.bytes, 4 * B * H * (2 * keys + 2 * Nq * D + Nq * Dv));
    EXPECT_LE(second.bytes, 4 * B * H * (2 * keys + 2 * Nq * (D + Dv + 1)));
  }
}

TEST(Profile, ThePeakIsAboveWhatAttentionReaches) {
  auto peak = attention_peak_flops(mx::float32);
  ASSERT_TRUE(peak);
  EXPECT_GT(*peak, 1e8);
}

// Pairs of the forward pass, over all heads.
double pairs_counted(mx::Shape q, int Nk, const AttentionOptions& options) {
  const auto Q = mx::zeros(q);
  const auto K = mx::zeros({q[0], q[1], Nk, q[3]});
  const auto before = attention_profile().total().flops;
  mx::eval(attention(Q, K, K, options));
  return (attention_profile().total().flops - before) / (2 * 2 * q[3] * q[1]);
}

// Against every pair looked at.
TEST(Profile, CountsSegmentsPrefixesWindowsAndChunksExactly) {
  const int B = 2, Nq = 23, Nk = 31;
  const auto ids = [&](int N, unsigned draw) {
    auto x =
        mx::random::randint(-2, 3, {B, N}, mx::int32, mx::random::key(draw));
    x.eval();
    return x;
  };
  AttentionOptions options;
  options.implementation = Implementation::tessera;
  options.causal = true;
  options.prefix = mx::array({4, 25});
  options.window = Window{14, 9};
  options.segments = Segments{ids(Nq, 1), ids(Nk, 2)};
  const auto* q = options.segments->q.data<std::int32_t>();
  const auto* k = options.segments->k.data<std::int32_t>();
  for (const bool chunked : {false, true}) {
    if (chunked) {
      options.chunk = 11;
    }
    int pairs = 0;
    for (int b = 0; b < B; ++b) {
      for (int i = 0; i < Nq; ++i) {
        for (int j = 0; j < Nk; ++j) {
          const int at = i + Nk - Nq;
          pairs += (j <= at || j < (b == 0 ? 4 : 25)) && j >= at - 14 &&
              j <= at + 9 && (!chunked || j / 11 == at / 11) &&
              q[b * Nq + i] == k[b * Nk + j];
        }
      }
    }
    EXPECT_EQ(pairs_counted({B, 3, Nq, 4}, Nk, options), pairs);
  }
}

// A mask's and a block list's are bounded from above.
TEST(Profile, CountsAMaskAsIfItKeptAll) {
  AttentionOptions options;
  options.implementation = Implementation::tessera;
  options.mask = mx::array(false);
  options.blocks = BlockList{mx::full({1, 1, 1, 1}, false), 5, 7};
  EXPECT_EQ(pairs_counted({1, 2, 5, 4}, 7, options), 35);
}

// The gradient of a bias needs no product of its own.
TEST(Profile, CountsABiasWithTheBackwardPass) {
  const auto flops = [](bool biased) {
    const auto x = mx::random::normal({1, 2, 5, 4});
    const auto before = attention_profile().total().flops;
    const auto loss = [&](const std::vector<mx::array>& in) {
      AttentionOptions options;
      options.implementation = Implementation::tessera;
      if (biased) {
        options.bias = in[3];
      }
      return mx::sum(attention(in[0], in[1], in[2], options));
    };
    mx::eval(mx::grad(loss, {0, 1, 2, 3})({x, x, x, mx::zeros({5, 5})}));
    return attention_profile().total().flops - before;
  };
  EXPECT_EQ(flops(true), flops(false));
}

} // namespace

} // namespace tessera
