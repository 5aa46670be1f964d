#include "api/problem.h"

#include <sstream>
#include <string>

#include "kernel/operand.h"
#include "tessera/error.h"

namespace tessera {

namespace {

std::string text(const mx::array& x) {
  std::ostringstream out;
  out << x.dtype() << ' ' << x.shape();
  return out.str();
}

void check_each(Operand operand, const mx::array& x) {
  if (x.ndim() != 4) {
    reject(
        "attention",
        "expected {} of 4 axes, [batch, heads, length, features]; got {}",
        name(operand),
        text(x));
  }
  if (!dtype_of(x.dtype())) {
    reject(
        "attention",
        "expected {} in float32, float16 or bfloat16; got {}",
        name(operand),
        text(x));
  }
  if (x.shape(1) < 1 || x.shape(3) < 1) {
    reject(
        "attention",
        "expected {} with at least one head and one feature; got {}",
        name(operand),
        text(x));
  }
}

void check_pair(
    const mx::array& a,
    Operand a_name,
    const mx::array& b,
    Operand b_name,
    bool fits,
    const char* what) {
  if (!fits) {
    reject(
        "attention",
        "expected {} and {} {}; got {} and {}",
        name(a_name),
        name(b_name),
        what,
        text(a),
        text(b));
  }
}

void check(const mx::array& Q, const mx::array& K, const mx::array& V) {
  check_each(Operand::Q, Q);
  check_each(Operand::K, K);
  check_each(Operand::V, V);
  const auto QK = [&](bool fits, const char* what) {
    check_pair(Q, Operand::Q, K, Operand::K, fits, what);
  };
  const auto KV = [&](bool fits, const char* what) {
    check_pair(K, Operand::K, V, Operand::V, fits, what);
  };
  QK(Q.dtype() == K.dtype(), "of one dtype");
  KV(K.dtype() == V.dtype(), "of one dtype");
  QK(Q.shape(0) == K.shape(0), "of one batch size");
  KV(K.shape(0) == V.shape(0), "of one batch size");
  QK(Q.shape(1) % K.shape(1) == 0, "heads in a whole ratio");
  KV(K.shape(1) == V.shape(1), "of as many heads");
  QK(Q.shape(3) == K.shape(3), "of one head dimension");
  KV(K.shape(2) == V.shape(2), "of one length");
}

} // namespace

std::optional<Dtype> dtype_of(mx::Dtype dtype) {
  if (dtype == mx::float32) {
    return Dtype::float32;
  }
  if (dtype == mx::float16) {
    return Dtype::float16;
  }
  if (dtype == mx::bfloat16) {
    return Dtype::bfloat16;
  }
  return std::nullopt;
}

Problem problem_of(
    Pass pass,
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    bool causal) {
  check(Q, K, V);
  Problem problem;
  problem.pass = pass;
  problem.dtype = *dtype_of(Q.dtype());
  problem.B = Q.shape(0);
  problem.Hq = Q.shape(1);
  problem.Hkv = K.shape(1);
  problem.Nq = Q.shape(2);
  problem.Nk = K.shape(2);
  problem.D = Q.shape(3);
  problem.Dv = V.shape(3);
  problem.causal = causal;
  return problem;
}

} // namespace tessera
