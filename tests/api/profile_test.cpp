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
    EXPECT_EQ(middle.calls - before.calls, 1);
    EXPECT_EQ(middle.flops - before.flops, 2 * (D + Dv) * pairs * B * H);
    EXPECT_GT(middle.seconds, before.seconds);
    mx::eval(mx::grad(sum, {0, 1, 2})({Q, K, V}));
    auto after = attention_profile();
    EXPECT_EQ(after.calls - middle.calls, 2);
    EXPECT_EQ(after.flops - middle.flops, 2 * (4 * D + 3 * Dv) * pairs * B * H);
  }
}

} // namespace

} // namespace tessera
