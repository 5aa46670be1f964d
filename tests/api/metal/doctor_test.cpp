#include "tessera/doctor.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "api/metal/harness.h"
#include "bench/doctor/examine.h"

// The doctor's calls on "Metal", which is the executor.
namespace tessera::test {
namespace {

// A call in so many.
std::vector<AttentionCase> some(std::size_t step) {
  const auto all = bench::doctor_cases(false);
  std::vector<AttentionCase> chosen;
  for (std::size_t i = 0; i < all.size(); i += step) {
    if (all[i].D <= 80) {
      chosen.push_back(all[i]);
    }
  }
  return chosen;
}

mx::Stream stream() {
  return mx::default_stream(mx::Device::cpu);
}

TEST(Doctor, FindsTheKernelsRight) {
  const MetalOnCpu scope(
      {metal::Family::m1, std::make_shared<ExecutorLauncher>()});
  for (const auto& c : some(19)) {
    const auto one = bench::examine(c, "metal", stream());
    EXPECT_EQ(one.failed, "") << describe(c);
    EXPECT_GE(one.errors.size(), 4u);
    EXPECT_EQ(one.plans[1].first, "dq");
  }
}

class Off : public ExecutorLauncher {
 public:
  void launch(
      const metal::Launch& launch,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    ExecutorLauncher::launch(launch, inputs, outputs);
    if (launch.plan.pass == metal::Pass::dkv) {
      outputs[1].data<float>()[0] += 0.1f;
    }
  }
};

TEST(Doctor, SaysWhichResultOfAKernelIsWrong) {
  const MetalOnCpu scope({metal::Family::m1, std::make_shared<Off>()});
  Diagnosis all;
  all.cases.push_back(bench::examine(some(75)[0], "metal", stream()));
  const auto& one = all.cases[0];
  EXPECT_GT(one.errors.at("dV"), 1);
  EXPECT_LE(one.errors.at("dK"), 1);
  EXPECT_EQ(one.failed.find("dV off by"), 0u) << one.failed;
  EXPECT_FALSE(all.healthy());
  const auto object = nlohmann::json::parse(diagnosis_json(all));
  EXPECT_FALSE(object.at("healthy").get<bool>());
  const auto& check = object.at("checks").at(0);
  EXPECT_EQ(check.at("error"), check.at("errors").at("dV"));
  EXPECT_TRUE(check.at("plans").contains("dkv"));
  EXPECT_NE(diagnosis_html(all).find("dV off by"), std::string::npos);
}

TEST(Doctor, KeepsWhatAKernelThrows) {
  class Throwing : public ExecutorLauncher {
    void launch(
        const metal::Launch&,
        const std::vector<mx::array>&,
        std::vector<mx::array>&) override {
      throw std::runtime_error("no such instruction");
    }
  };
  const MetalOnCpu scope({metal::Family::m1, std::make_shared<Throwing>()});
  const auto one = bench::examine(some(75)[0], "metal", stream());
  EXPECT_EQ(one.failed, "no such instruction");
}

TEST(Doctor, OfNothingIsNotHealthy) {
  EXPECT_FALSE(Diagnosis{}.healthy());
}

TEST(Doctor, QuickHasEveryMaskDtypeAndHeadDimension) {
  std::set<std::pair<std::string, int>> sides;
  std::set<std::string> masks;
  std::set<std::string> all_masks;
  const auto mask_of = [](AttentionCase c) {
    c.dtype = mx::float32;
    c.D = c.Dv = 64;
    return describe(c);
  };
  for (const auto& c : bench::doctor_cases(true)) {
    sides.insert({describe(c).substr(0, 8), c.D});
    masks.insert(mask_of(c));
  }
  for (const auto& c : bench::doctor_cases(false)) {
    all_masks.insert(mask_of(c));
  }
  EXPECT_EQ(sides.size(), 18u);
  EXPECT_EQ(masks, all_masks);
}

} // namespace
} // namespace tessera::test
