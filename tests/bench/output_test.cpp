#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "bench/measure/spread.h"
#include "tessera/bench.h"

namespace tessera {
namespace {

BenchmarkResult two_cases() {
  BenchmarkResult r;
  r.tessera_version = "0.1.0";
  r.date = "2026-11-24T00:00:00Z";
  r.system.processor = "A </script> \"processor\", of two";
  r.system.threads = 2;
  r.rounds = 3;
  r.matmul_gflops = 100;
  r.peak_gflops = {{"float32", 200}};
  CaseResult one;
  one.attention.Nq = one.attention.Nk = 512;
  one.flops = {{"forward", 1e9}};
  one.contenders.resize(2);
  one.contenders[0].name = one.contenders[0].path = "mlx";
  one.contenders[0].time = 0.04;
  one.contenders[0].memory = 4000;
  one.contenders[0].passes["forward"] = {0.04, 0.03, 0.035, 0.05, 0.06};
  one.contenders[1] = one.contenders[0];
  one.contenders[1].name = "flash";
  one.contenders[1].path = "tessera/cpu";
  one.contenders[1].time = 0.01;
  one.contenders[1].memory = 1000;
  one.contenders[1].passes["forward"].median = 0.01;
  one.speedup = 4;
  one.memory_reduction = 0.75;
  r.results.push_back(one);
  one.contenders[0].skipped = "MLX's op has no softcap, \"c\"";
  one.contenders[0].passes.clear();
  one.contenders[0].memory.reset();
  one.speedup.reset();
  one.memory_reduction.reset();
  r.results.push_back(one);
  return r;
}

TEST(Spread, IsOfTheSortedValues) {
  const auto s = bench::spread_of({5, 1, 4, 2, 3});
  EXPECT_EQ(s.lowest, 1);
  EXPECT_EQ(s.lower_quartile, 2);
  EXPECT_EQ(s.median, 3);
  EXPECT_EQ(s.upper_quartile, 4);
  EXPECT_EQ(s.highest, 5);
  EXPECT_EQ(bench::spread_of({1, 2}).median, 1.5);
  EXPECT_EQ(bench::spread_of({7}).upper_quartile, 7);
}

TEST(Output, JsonHasTheSuitesKeys) {
  const auto root = nlohmann::json::parse(benchmark_json(two_cases()));
  const auto& one = root["results"][0];
  EXPECT_EQ(one["seq_len"], 512);
  EXPECT_EQ(one["head_dim"], 64);
  EXPECT_EQ(one["batch_size"], 1);
  EXPECT_EQ(one["mlx"]["time"], 0.04);
  EXPECT_EQ(one["mlx"]["memory"], 4000);
  EXPECT_EQ(one["flash"]["time"], 0.01);
  EXPECT_EQ(one["flash"]["memory"], 1000);
  EXPECT_EQ(one["speedup"], 4);
  EXPECT_EQ(one["memory_reduction"], 0.75);
  EXPECT_EQ(one["flash"]["forward"]["gflops"], 100);
  EXPECT_EQ(one["flash"]["forward"]["share_of_peak"], 0.5);
  const auto& other = root["results"][1];
  EXPECT_TRUE(other["mlx"]["time"].is_null());
  EXPECT_TRUE(other["speedup"].is_null());
  EXPECT_EQ(other["mlx"]["skipped"], "MLX's op has no softcap, \"c\"");
}

TEST(Output, CsvHasALineAPassAndQuotesText) {
  std::istringstream text(benchmark_csv(two_cases()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    lines.push_back(line);
  }
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0].rfind("seq_len,head_dim,batch_size,", 0), 0u);
  EXPECT_NE(
      lines[1].find("\"A </script> \"\"processor\"\", of two\""),
      std::string::npos);
  EXPECT_NE(
      lines[3].find("\"MLX's op has no softcap, \"\"c\"\"\""),
      std::string::npos);
  EXPECT_EQ(benchmark_csv(BenchmarkResult{}), "");
}

TEST(Output, ThePageNeedsNoNetworkAndNoTextEndsItsScript) {
  const auto page = benchmark_html(two_cases());
  EXPECT_EQ(page.find("A </script>"), std::string::npos);
  EXPECT_EQ(page.find("{{"), std::string::npos);
  EXPECT_EQ(page.find("src=\"http"), std::string::npos);
  EXPECT_EQ(page.find("href=\"http"), std::string::npos);
}

} // namespace
} // namespace tessera
