#include "bench/measure/measure.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tessera::bench {
namespace {

Arrays small() {
  AttentionCase c;
  c.Hq = c.Hkv = 2;
  c.Nq = c.Nk = 16;
  c.D = c.Dv = 8;
  return random_arrays(c, false);
}

std::unique_ptr<Contender> ours(const Arrays& arrays, Function function) {
  auto contender = std::make_unique<MlxContender>(arrays, std::move(function));
  contender->name = "flash";
  contender->path = "tessera/cpu";
  return contender;
}

CaseResult measured(const Arrays& arrays, std::unique_ptr<Contender> flash) {
  Contenders contenders;
  contenders.push_back(mlx_contender(arrays, true));
  contenders.push_back(std::move(flash));
  BenchmarkOptions options;
  options.rounds = 2;
  return measure(arrays, contenders, options, [] { return false; }).value();
}

BenchmarkResult of(const std::vector<CaseResult>& results) {
  BenchmarkResult all;
  all.matmul_gflops = 1;
  all.results = results;
  return all;
}

TEST(Measure, RightRowsPass) {
  const auto arrays = small();
  const auto one = measured(arrays, tessera_contender(arrays));
  EXPECT_FALSE(one.contenders[1].failed);
  EXPECT_EQ(one.contenders[1].passes.size(), 2u);
  EXPECT_TRUE(one.speedup.has_value());
  EXPECT_NO_THROW(require_right(of({one})));
}

// Its row says so, the others and the files are as ever.
TEST(Measure, AWrongResultIsMarkedAndNotTimed) {
  const auto arrays = small();
  const auto wrong = measured(arrays, ours(arrays, [](const Arrays& a) {
                                return mx::multiply(a.dO, mx::array(3.0f));
                              }));
  const auto& flash = wrong.contenders[1];
  EXPECT_TRUE(flash.failed);
  EXPECT_EQ(flash.skipped.find("wrong: "), 0u) << flash.skipped;
  EXPECT_GT(flash.error.value(), 1);
  EXPECT_TRUE(flash.passes.empty());
  EXPECT_FALSE(wrong.speedup.has_value());
  EXPECT_FALSE(wrong.contenders[0].passes.empty());

  const auto result = of({measured(arrays, tessera_contender(arrays)), wrong});
  EXPECT_THROW(require_right(result), std::logic_error);
  const auto rows = nlohmann::json::parse(benchmark_json(result))["results"];
  EXPECT_FALSE(rows[0]["flash"].contains("failed"));
  EXPECT_EQ(rows[1]["flash"]["failed"], true);
  EXPECT_TRUE(rows[1]["flash"]["time"].is_null());
  EXPECT_NE(benchmark_csv(result).find(",1,"), std::string::npos);
}

TEST(Measure, WhatOursThrowsIsItsRow) {
  const auto arrays = small();
  const auto one =
      measured(arrays, ours(arrays, [](const Arrays&) -> mx::array {
                 throw std::runtime_error("no room");
               }));
  EXPECT_TRUE(one.contenders[1].failed);
  EXPECT_EQ(one.contenders[1].skipped, "no room");
  EXPECT_THROW(require_right(of({one})), std::logic_error);
}

TEST(Measure, OthersDoNotFail) {
  const auto arrays = small();
  auto contenders = Contenders{};
  contenders.push_back(mlx_contender(arrays, true));
  contenders[0]->skipped = "no";
  contenders.push_back(tessera_contender(arrays));
  const auto one =
      measure(arrays, contenders, BenchmarkOptions{}, [] { return false; });
  EXPECT_FALSE(one->contenders[0].failed);
  EXPECT_NO_THROW(require_right(of({*one})));
}

} // namespace
} // namespace tessera::bench
