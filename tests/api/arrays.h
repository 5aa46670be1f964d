#pragma once

#include <mlx/mlx.h>

#include "tessera/attention.h"
#include "tessera/error.h"
#include "tolerance.h"

namespace tessera::test {

struct Arrays {
  mx::array Q;
  mx::array K;
  mx::array V;

  std::vector<mx::array> list() const {
    return {Q, K, V};
  }
};

inline mx::array normal(
    mx::Shape shape, unsigned seed, mx::Dtype dtype = mx::float32) {
  return mx::astype(
      mx::random::normal(std::move(shape), mx::float32, mx::random::key(seed)),
      dtype);
}

inline Problem make_problem(
    int B, int Hq, int Hkv, int Nq, int Nk, int D, int Dv, bool causal) {
  Problem p;
  p.B = B;
  p.Hq = Hq;
  p.Hkv = Hkv;
  p.Nq = Nq;
  p.Nk = Nk;
  p.D = D;
  p.Dv = Dv;
  p.causal = causal;
  return p;
}

inline Arrays make(
    const Problem& p, mx::Dtype dtype = mx::float32, unsigned seed = 1) {
  return {
      normal({p.B, p.Hq, p.Nq, p.D}, seed, dtype),
      normal({p.B, p.Hkv, p.Nk, p.D}, seed + 1, dtype),
      normal({p.B, p.Hkv, p.Nk, p.Dv}, seed + 2, dtype)};
}

// An array's values, row-major, as float64.
inline Values values_of(const mx::array& x) {
  auto y = mx::contiguous(mx::astype(x, mx::float32));
  y.eval();
  return Values(y.data<float>(), y.data<float>() + y.size());
}

inline bool same_bits(const mx::array& a, const mx::array& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
      values_of(a) == values_of(b);
}

// What a call is refused with; "" where it is not.
inline std::string error_of(
    const Arrays& x, const AttentionOptions& options = {}) {
  try {
    attention(x.Q, x.K, x.V, options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

// What the reference says of `x` with these cotangents.
inline Expected expect_of(
    Problem problem,
    const Arrays& x,
    const mx::array& dO,
    const mx::array& dL,
    Dtype dtype = Dtype::float32) {
  problem.dtype = dtype;
  Inputs in;
  in.Q = values_of(x.Q);
  in.K = values_of(x.K);
  in.V = values_of(x.V);
  in.dO = values_of(dO);
  in.dL = values_of(dL);
  const double scale = 1 / std::sqrt(static_cast<float>(problem.D));
  return expect(problem, Scalars{scale}, in);
}

} // namespace tessera::test
