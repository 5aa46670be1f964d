#include "train/math/optimizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "train/math/schedule.h"

namespace tessera::train {

namespace {

using nlohmann::json;

json golden() {
  return json::parse(std::ifstream(TESSERA_GOLDEN "/train/optimizer.json"));
}

Parameters arrays(const json& values, const json& shapes) {
  Parameters result;
  for (const auto& [name, shape] : shapes.items()) {
    auto flat = values.at(name).get<std::vector<float>>();
    auto dims = shape.get<std::vector<int>>();
    result.emplace(
        name, mx::array(flat.begin(), mx::Shape(dims.begin(), dims.end())));
  }
  return result;
}

AdamConfig config_of(const json& options) {
  AdamConfig config;
  config.weight_decay = options.value("weight_decay", 0.0);
  config.epsilon = options.value("eps", config.epsilon);
  if (options.contains("betas")) {
    config.beta1 = options["betas"][0];
    config.beta2 = options["betas"][1];
  }
  return config;
}

// Each value within a few float32 roundings of torch's.
void expect_same(const Parameters& got, const json& want, int step) {
  for (const auto& [name, array] : got) {
    auto expected = want.at(name).get<std::vector<float>>();
    mx::array flat = mx::flatten(array);
    flat.eval();
    ASSERT_EQ(flat.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(
          flat.data<float>()[i],
          expected[i],
          4e-7f * std::max(1.0f, std::abs(expected[i])))
          << name << "[" << i << "] after step " << step + 1;
    }
  }
}

TEST(Optimizer, UpdatesAsTorch) {
  auto all = golden();
  for (const auto& test : all["updates"]) {
    SCOPED_TRACE(test["kind"].dump() + test["options"].dump());
    auto state = begin_training(arrays(test["start"], all["shapes"]));
    for (int i = 0; i < int(all["gradients"].size()); ++i) {
      auto at = static_cast<std::size_t>(i);
      auto clipped = clip_by_global_norm(
          arrays(all["gradients"][at], all["shapes"]), test["max_norm"]);
      EXPECT_FLOAT_EQ(clipped.norm.item<float>(), test["norms"][at]);
      state = adam_update(
          std::move(state),
          std::move(clipped.gradient),
          test["options"]["lr"],
          config_of(test["options"]));
      expect_same(state.parameters, test["after"][at], i);
    }
    EXPECT_EQ(state.updates, 6);
  }
}

TEST(Optimizer, StateIsFloat32) {
  auto state = begin_training({{"w", mx::zeros({2}, mx::bfloat16)}});
  EXPECT_EQ(state.parameters.at("w").dtype(), mx::float32);
  EXPECT_EQ(state.v.at("w").dtype(), mx::float32);
}

TEST(Schedule, RatesAsTorch) {
  auto all = golden();
  for (const auto& test : all["schedules"]) {
    SCOPED_TRACE(test.dump());
    LearningRateSchedule schedule;
    using Kind = LearningRateSchedule::Kind;
    schedule.kind = test["kind"] == "constant" ? Kind::constant
        : test["kind"] == "linear"             ? Kind::linear
                                               : Kind::cosine;
    schedule.warmup = test["warmup"];
    schedule.final_rate = test["final"];
    int updates = static_cast<int>(test["rates"].size());
    for (int i = 0; i < updates; ++i) {
      EXPECT_NEAR(
          learning_rate(schedule, test["peak"], i, updates),
          test["rates"][static_cast<std::size_t>(i)].get<double>(),
          1e-16)
          << "update " << i;
    }
  }
}

} // namespace

} // namespace tessera::train
