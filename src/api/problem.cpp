#include "api/problem.h"

#include <sstream>
#include <utility>

#include "tessera/error.h"

namespace tessera {

namespace {

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

std::vector<Operand> inputs_of(const AttentionSettings& settings) {
  const Features& f = settings.features;
  std::vector<Operand> operands = {Operand::Q, Operand::K, Operand::V};
  const std::pair<bool, Operand> optional[] = {
      {f.bias, Operand::bias},
      {f.alibi, Operand::slopes},
      {f.sinks, Operand::sinks},
      {f.mask, Operand::mask},
      {settings.block_rows > 0, Operand::blocks},
      {f.segments, Operand::segments_q},
      {f.segments, Operand::segments_k},
      {f.prefix, Operand::prefix},
      {f.dropout, Operand::seed}};
  for (const auto& [present, operand] : optional) {
    if (present) {
      operands.push_back(operand);
    }
  }
  return operands;
}

Problem problem_of(
    Pass pass,
    const AttentionSettings& settings,
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V) {
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
  problem.causal = settings.causal;
  problem.left = settings.left;
  problem.right = settings.right;
  problem.chunk = settings.chunk;
  problem.block_rows = settings.block_rows;
  problem.block_columns = settings.block_columns;
  problem.features = settings.features;
  return problem;
}

std::string text(const mx::array& x) {
  std::ostringstream out;
  out << x.dtype() << ' ' << x.shape();
  return out.str();
}

std::string text(const mx::Shape& shape) {
  std::ostringstream out;
  out << shape;
  return out.str();
}

} // namespace tessera
