#include "bench/doctor/examine.h"

#include <fmt/format.h>

#include <exception>

#include "api/metal/proof.h"
#include "bench/tune/explain.h"
#include "check/check.h"

namespace tessera::bench {

namespace {

// Every mask and feature once, then all together; few queries; and queries
// before the first key.
std::vector<AttentionCase> calls() {
  AttentionCase dense;
  dense.B = 2;
  dense.Hq = 4;
  dense.Hkv = 2;
  dense.Nq = dense.Nk = 130; // no tile fits it
  std::vector<AttentionCase> all = {dense};
  const auto add = [&](auto change) {
    auto c = dense;
    c.causal = true;
    change(c);
    all.push_back(c);
  };
  add([](auto&) {});
  add([](auto& c) { c.window = Window{40, 0}; });
  add([](auto& c) {
    c.causal = false;
    c.window = Window{20, 30};
  });
  add([](auto& c) { c.segments = {30, 60, 40}; });
  add([](auto& c) { c.prefix = 9; });
  add([](auto& c) { c.chunk = 48; });
  add([](auto& c) { c.mask = "Bx1xNxN"; });
  add([](auto& c) { c.blocks = BlockSides{24, 40}; });
  add([](auto& c) { c.bias = "1xHxNxN"; });
  add([](auto& c) { c.bias = "Bx1x1xN"; });
  add([](auto& c) { c.bias = "1xHxNx1"; });
  add([](auto& c) { c.Hkv = 1; });
  add([](auto& c) { c.Hkv = c.Hq; });
  add([](auto& c) { c.alibi = true; });
  add([](auto& c) { c.softcap = 2.0f; });
  add([](auto& c) { c.sinks = true; });
  add([](auto& c) { c.dropout = 0.1f; });
  add([](auto& c) { c.Nq = 150; });
  add([](auto& c) {
    c.Nq = 3;
    c.Nk = 600;
  });
  add([](auto& c) {
    c.window = Window{60, std::nullopt};
    c.segments = {30, 60, 40};
    c.prefix = 9;
    c.chunk = 64;
    c.mask = "Bx1xNxN";
    c.blocks = BlockSides{24, 40};
    c.bias = "1xHxNxN";
    c.alibi = c.sinks = true;
    c.softcap = 2.0f;
    c.dropout = 0.1f;
  });
  return all;
}

constexpr std::pair<int, int> head_dims[] = {
    {64, 64}, {128, 128}, {40, 72}, {80, 80}, {256, 256}, {512, 512}};

std::vector<std::pair<std::string, std::string>> plans_of(
    const Explanation& explanation) {
  std::vector<std::pair<std::string, std::string>> plans;
  for (const auto& pass : explanation.passes) {
    plans.emplace_back(name_of(pass.problem.pass), line_of(pass));
  }
  for (const auto& kernel : explanation.kernels) {
    plans.emplace_back(kernel.kernel, line_of(kernel));
  }
  return plans;
}

} // namespace

std::vector<AttentionCase> doctor_cases(bool quick) {
  std::vector<AttentionCase> all;
  int number = 0;
  for (const auto& call : calls()) {
    for (const auto dtype : {mx::float32, mx::float16, mx::bfloat16}) {
      for (const auto& [D, Dv] : head_dims) {
        auto c = call;
        c.dtype = dtype;
        c.D = D;
        c.Dv = Dv;
        // Every seventh: 3 dtypes and 6 head dimensions go round apart.
        if (!quick || number % 7 == 0) {
          all.push_back(c);
        }
        ++number;
      }
    }
  }
  return all;
}

ExaminedCase examine(
    const AttentionCase& c, const std::string& backend, mx::Stream stream) {
  ExaminedCase one;
  one.backend = backend;
  one.attention = c;
  one.attention.implementation = Implementation::tessera;
  try {
    const auto arrays = cases::random_arrays(one.attention, true);
    one.plans = plans_of(explain_ours(arrays, stream));
    const auto errors = cases::errors_of(
        arrays,
        [&](const mx::array& dO) {
          return std::optional(cases::differentiate(
              arrays,
              [&](const cases::Arrays& a) {
                return unproven(a, stream).front();
              },
              dO));
        },
        true);
    for (const auto& [name, error] : errors) {
      one.errors[name] = error;
    }
    one.failed = cases::wrong(errors);
  } catch (const std::exception& error) {
    one.failed = error.what();
  }
  return one;
}

} // namespace tessera::bench
