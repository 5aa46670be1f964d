#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <map>

#include "contender.h"

// Times the contenders in turn, so that all see the same machine, and prints
// the median rate and its spread.
namespace tessera::bench {
namespace {

void time(const std::vector<Contender>& contenders, int rounds) {
  std::vector<std::vector<double>> rates(contenders.size());
  for (int round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      contenders[i].run();
      const std::chrono::duration<double> seconds =
          std::chrono::steady_clock::now() - start;
      if (round > 0) { // the first warms up
        rates[i].push_back(contenders[i].operations / seconds.count() / 1e9);
      }
    }
  }
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::sort(rates[i].begin(), rates[i].end());
    fmt::print(
        "{:24} {:8.1f} GF/s  ({:.1f} to {:.1f})\n",
        contenders[i].name,
        rates[i][rates[i].size() / 2],
        rates[i].front(),
        rates[i].back());
  }
}

} // namespace
} // namespace tessera::bench

int main(int argc, char** argv) {
  using namespace tessera;
  CLI::App app{"Rate of attention on the CPU beside OpenBLAS's sgemm"};
  Problem problem;
  problem.B = 1;
  problem.Hq = problem.Hkv = 4;
  problem.Nq = 2048;
  problem.D = 64;
  int rounds = 7;
  int block_size = 0;
  const std::map<std::string, Dtype> dtypes = {
      {"float32", Dtype::float32},
      {"float16", Dtype::float16},
      {"bfloat16", Dtype::bfloat16}};
  app.add_option("--batch", problem.B);
  app.add_option("--heads", problem.Hq);
  app.add_option("--kv-heads", problem.Hkv);
  app.add_option("--length", problem.Nq);
  app.add_option("--head-dim", problem.D);
  app.add_option("--dtype", problem.dtype)
      ->transform(CLI::CheckedTransformer(dtypes));
  app.add_flag("--causal", problem.causal);
  app.add_option("--flash-block-size", block_size);
  app.add_option("--rounds", rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  problem.Nk = problem.Nq;
  problem.Dv = problem.D;

  auto contenders = bench::tessera_cpu(problem, block_size);
  contenders.push_back(bench::openblas_sgemm(2048));
  bench::time(contenders, rounds);
  return 0;
}
