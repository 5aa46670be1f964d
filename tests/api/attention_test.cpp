#include "tessera/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tessera/error.h"
#include "tolerance.h"

namespace tessera::test {
namespace {

struct Shapes {
  int B = 1;
  int Hq = 1;
  int Hkv = 1;
  int Nq = 1;
  int Nk = 1;
  int D = 1;
  int Dv = 1;
};

struct Arrays {
  mx::array Q;
  mx::array K;
  mx::array V;
};

mx::array normal(mx::Shape shape, mx::Dtype dtype, unsigned seed) {
  return mx::astype(
      mx::random::normal(std::move(shape), mx::float32, mx::random::key(seed)),
      dtype);
}

Arrays make(const Shapes& s, mx::Dtype dtype = mx::float32) {
  return {
      normal({s.B, s.Hq, s.Nq, s.D}, dtype, 1),
      normal({s.B, s.Hkv, s.Nk, s.D}, dtype, 2),
      normal({s.B, s.Hkv, s.Nk, s.Dv}, dtype, 3)};
}

TEST(AttentionApi, AgreesWithMlx) {
  const auto x = make({2, 8, 2, 65, 65, 64, 64});
  AttentionOptions options;
  options.causal = true;
  options.implementation = Implementation::tessera;
  const auto ours = attention(x.Q, x.K, x.V, options);
  options.implementation = Implementation::mlx;
  const auto theirs = attention(x.Q, x.K, x.V, options);
  EXPECT_TRUE(mx::allclose(ours, theirs, 1e-5, 1e-6).item<bool>());
  const auto loss = [&](Implementation implementation) {
    return [&, implementation](const std::vector<mx::array>& in) {
      auto o = options;
      o.implementation = implementation;
      const auto O = attention(in[0], in[1], in[2], o);
      return mx::sum(O * O * mx::sin(O));
    };
  };
  const auto a =
      mx::grad(loss(Implementation::tessera), {0, 1, 2})({x.Q, x.K, x.V});
  const auto b =
      mx::grad(loss(Implementation::mlx), {0, 1, 2})({x.Q, x.K, x.V});
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(mx::allclose(a[i], b[i], 1e-4, 1e-5).item<bool>()) << i;
  }
}

} // namespace
} // namespace tessera::test
