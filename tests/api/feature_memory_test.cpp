#include <gtest/gtest.h>

#include "api/arrays.h"

// What is broadcast over an axis of the scores stays as small as it is.
namespace tessera::test {
namespace {

constexpr int B = 2;
constexpr int H = 8;
constexpr int N = 1024;

// The most memory beyond the arguments while O and all gradients are computed.
double extra(const AttentionOptions& options, std::vector<mx::array> more) {
  const auto x = make(make_problem(B, H, H, N, N, 8, 8, false));
  mx::eval(x.list());
  mx::eval(more);
  mx::synchronize();
  mx::clear_cache();
  mx::reset_peak_memory();
  const auto before = mx::get_active_memory();
  const auto gradients = mx::grad(
      [&](const std::vector<mx::array>& in) {
        auto o = options;
        if (o.bias) {
          o.bias = in[3];
        }
        return mx::sum(attention(in[0], in[1], in[2], o));
      },
      options.bias ? std::vector<int>{0, 1, 2, 3} : std::vector<int>{0, 1, 2})(
      {x.Q, x.K, x.V, options.bias ? *options.bias : x.Q});
  mx::eval(gradients);
  mx::synchronize();
  return static_cast<double>(mx::get_peak_memory() - before);
}

// Half of a byte for each score, the least that an expanded mask would take.
constexpr double expanded = 0.5 * B * H * N * N;

TEST(FeatureMemory, ABroadcastMaskIsNotExpanded) {
  AttentionOptions options;
  const double plain = extra(options, {});
  for (const mx::Shape& shape : {mx::Shape{1, 1, N, N}, {B, 1, 1, N}}) {
    options.mask = mx::random::bernoulli(0.9f, shape, mx::random::key(4));
    EXPECT_LT(extra(options, {*options.mask}) - plain, expanded);
    options.mask = mx::broadcast_to(*options.mask, {B, H, N, N});
    EXPECT_LT(extra(options, {*options.mask}) - plain, expanded);
  }
}

TEST(FeatureMemory, ABroadcastBiasIsNotExpandedNorIsItsGradient) {
  AttentionOptions options;
  const double plain = extra(options, {});
  for (const mx::Shape& shape : {mx::Shape{N, N}, {H, N, 1}, {}}) {
    options.bias = normal(shape, 4, mx::bfloat16);
    EXPECT_LT(extra(options, {*options.bias}) - plain, expanded);
  }
}

// Nor under vmap, where the mapped axis is one more to broadcast over.
TEST(FeatureMemory, AMaskIsNotRepeatedForEachMappedEntry) {
  const auto Q = normal({H, B, 1, N, 8}, 1);
  const auto K = normal({B, 1, N, 8}, 2);
  const auto peak = [&](const std::optional<mx::array>& mask) {
    mx::synchronize();
    mx::clear_cache();
    mx::reset_peak_memory();
    const auto before = mx::get_active_memory();
    mx::eval(mx::vmap([&](const std::vector<mx::array>& in) {
      AttentionOptions options;
      options.mask = mask;
      return std::vector<mx::array>{attention(in[0], K, K, options)};
    })({Q}));
    mx::synchronize();
    return static_cast<double>(mx::get_peak_memory() - before);
  };
  const auto mask =
      mx::random::bernoulli(0.9f, {B, 1, N, N}, mx::random::key(4));
  mx::eval(mask, Q, K);
  EXPECT_LT(peak(mask) - peak(std::nullopt), expanded);
}

} // namespace
} // namespace tessera::test
