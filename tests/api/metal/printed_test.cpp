#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "api/metal/harness.h"
#include "api/metal/run.h"
#include "bench/kernel/kernel.h"
#include "check/case.h"

// What `tessera kernel --json` prints, run by a reader that knows nothing else.
namespace tessera::test {
namespace {

using nlohmann::json;

mx::Dtype dtype_named(const std::string& name) {
  static const std::map<std::string, mx::Dtype> dtypes = {
      {"float32", mx::float32},
      {"float16", mx::float16},
      {"bfloat16", mx::bfloat16},
      {"int32", mx::int32},
      {"int64", mx::int64},
      {"uint32", mx::uint32},
      {"bool", mx::bool_}};
  return dtypes.at(name);
}

class Reader {
 public:
  // By name, what no launch makes.
  std::map<std::string, Values> given;
  // By key, what was made.
  NamedArrays made;

  void read(const std::string& text) {
    const auto root = json::parse(text);
    auto joins = root.value("joins", json::array());
    for (const auto& launch : root.value("launches", json::array({root}))) {
      run(launch);
      for (const auto& join : joins) {
        put_together(join);
      }
    }
  }

  Values values(const std::string& key) const {
    return float_values(made.at(key));
  }

 private:
  static std::string key_of(const json& buffer) {
    return buffer.value("key", buffer.at("name").get<std::string>());
  }

  mx::array input(const json& buffer) const {
    const auto before = made.find(key_of(buffer));
    if (before != made.end()) {
      return before->second;
    }
    const auto& name = buffer.at("name").get_ref<const std::string&>();
    const auto values = buffer.contains("values")
        ? buffer.at("values").get<Values>()
        : given.at(name);
    const auto shape = buffer.at("shape").get<mx::Shape>();
    std::size_t size = 1;
    for (const int side : shape) {
      size *= static_cast<std::size_t>(side);
    }
    EXPECT_EQ(values.size(), size) << name;
    auto x = plain_array(values, shape, dtype_named(buffer.at("dtype")));
    x.eval();
    return x;
  }

  void run(const json& launch) {
    metal::Dispatch dispatch;
    dispatch.source = launch.at("source");
    dispatch.function = launch.at("name");
    dispatch.grid = launch.at("grid");
    dispatch.threadgroup = launch.at("threadgroup");
    std::vector<mx::array> held;
    for (const auto& buffer : launch.at("inputs")) {
      auto x = input(buffer);
      EXPECT_EQ(json(x.shape()), buffer.at("shape"));
      dispatch.buffers.push_back({x.data<char>(), x.nbytes(), false});
      held.push_back(x);
    }
    for (const auto& buffer : launch.at("outputs")) {
      auto x = mx::zeros(
          buffer.at("shape").get<mx::Shape>(), dtype_named(buffer.at("dtype")));
      x.eval();
      dispatch.buffers.push_back({x.data<char>(), x.nbytes(), true});
      held.push_back(x);
      made.insert_or_assign(key_of(buffer), x);
    }
    metal::execute(dispatch);
  }

  // Once all parts are there.
  void put_together(const json& join) {
    std::vector<mx::array> parts;
    for (const auto& part : join.at("parts")) {
      const auto at = made.find(part);
      if (at == made.end()) {
        return;
      }
      parts.push_back(at->second);
    }
    auto whole =
        mx::contiguous(mx::concatenate(parts, join.at("axis").get<int>()));
    whole.eval();
    made.insert_or_assign(join.at("key"), whole);
  }
};

// The printed values of an input of the forward pass.
Values printed_values(const Kernels& kernels, const std::string& name) {
  for (const auto& input : kernels.launches.front().inputs) {
    if (input.name == name) {
      return input.values;
    }
  }
  return {};
}

class Printed : public testing::Test {
 protected:
  // Every pass as printed, against the reference.
  void check(
      const AttentionCase& c,
      metal::Family family = metal::Family::m1,
      double seconds = metal::launch_seconds) {
    auto call = bench::metal_call_of(c, family);
    call.seconds = seconds;
    const auto inputs = inputs_of(c, call);
    Outputs got;
    const auto read = [&](metal::Pass pass) {
      const auto kernels = bench::kernels_of(call, pass);
      launches += kernels.launches.size();
      reader_.read(metal_kernels_json(kernels));
    };
    const auto& f = call.problem.features;
    read(metal::Pass::forward);
    read(metal::Pass::delta);
    read(metal::Pass::dq);
    read(metal::Pass::dkv);
    std::vector<std::pair<const char*, Values Outputs::*>> results = {
        {"O", &Outputs::O},
        {"L", &Outputs::L},
        {"dQ", &Outputs::dQ},
        {"dK", &Outputs::dK},
        {"dV", &Outputs::dV}};
    if (f.bias) {
      read(metal::Pass::dbias);
      results.push_back({"dbias", &Outputs::dbias});
    }
    if (f.alibi) {
      read(metal::Pass::dslopes);
      results.push_back({"dslopes", &Outputs::dslopes});
    }
    if (f.sinks) {
      read(metal::Pass::dsinks);
      results.push_back({"dsinks", &Outputs::dsinks});
    }
    for (const auto& [name, result] : results) {
      got.*result = reader_.values(name);
    }
    EXPECT_EQ(
        difference(expect(case_.problem, case_.scalars(), inputs), got), "");
  }

  std::size_t launches = 0;

 private:
  // Random operands, and what the case says of the others.
  Inputs inputs_of(const AttentionCase& c, const metal::Call& call) {
    case_.problem = cases::problem_of(c, Pass::forward);
    case_.softcap = c.softcap.value_or(0);
    case_.dropout = c.dropout;
    case_.bias.dtype = case_.sinks.dtype = case_.problem.dtype;
    case_.slopes.single[0] = case_.mask.single[1] = true;
    auto inputs = random_inputs(case_);
    std::ranges::fill(inputs.dL, 0.0);
    const auto kernels = bench::kernels_of(call, metal::Pass::forward);
    inputs.slopes = printed_values(kernels, "slopes");
    inputs.segments_q = printed_values(kernels, "segments_q");
    inputs.segments_k = printed_values(kernels, "segments_k");
    inputs.prefix = printed_values(kernels, "prefix");
    const auto seed = printed_values(kernels, "seed");
    inputs.seed = seed.empty() ? 0 : static_cast<std::uint64_t>(seed[0]);
    reader_.given = {
        {"Q", inputs.Q},
        {"K", inputs.K},
        {"V", inputs.V},
        {"dO", inputs.dO},
        {"bias", inputs.bias},
        {"sinks", inputs.sinks},
        {"mask", inputs.mask}};
    return inputs;
  }

  Case case_;
  Reader reader_;
};

AttentionCase small(mx::Dtype dtype, int N, int D) {
  AttentionCase c;
  c.dtype = dtype;
  c.B = 1;
  c.Hq = 4;
  c.Hkv = 2;
  c.Nq = c.Nk = N;
  c.D = c.Dv = D;
  return c;
}

TEST_F(Printed, PassesAgreeWithTheReference) {
  auto c = small(mx::bfloat16, 70, 64);
  c.causal = true;
  check(c);
  EXPECT_EQ(launches, 4u);
}

TEST_F(Printed, FeaturesComeWithTheirValues) {
  auto c = small(mx::float32, 65, 24);
  c.Dv = 40;
  c.causal = c.alibi = c.sinks = true;
  c.window = Window{30, std::nullopt};
  c.segments = {20, 45};
  c.bias = "1xHxNxN";
  c.mask = "NxN";
  c.softcap = 3;
  c.dropout = 0.25f;
  check(c, metal::Family::m3);
}

TEST_F(Printed, APrefixAndAChunk) {
  auto c = small(mx::float16, 40, 32);
  c.causal = true;
  c.prefix = 7;
  c.chunk = 16;
  check(c);
}

TEST_F(Printed, FewQueriesAreRunsAndTheirCombination) {
  auto c = small(mx::float32, 600, 16);
  c.Nq = 3;
  check(c);
  EXPECT_EQ(launches, 5u);
}

TEST_F(Printed, ASplitCallSaysHowItsPartsJoin) {
  auto c = small(mx::float32, 130, 16);
  c.causal = true;
  check(c, metal::Family::m1, 1e-9);
  EXPECT_GT(launches, 16u);
}

TEST(PrintedName, TellsTextsApart) {
  std::set<std::string> names;
  for (const int D : {32, 64}) {
    for (const auto dtype : {mx::float32, mx::float16, mx::bfloat16}) {
      for (const char* pass : {"forward", "delta", "dq", "dkv"}) {
        names.insert(metal_kernels(small(dtype, 32, D), pass).launches[0].name);
      }
    }
  }
  EXPECT_EQ(names.size(), 24u);
}

} // namespace
} // namespace tessera::test
