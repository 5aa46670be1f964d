#include "bench/output/facts.h"

#include <chrono>
#include <ctime>

#include "check/case.h"

namespace tessera::bench {

PassFacts facts_of(
    const BenchmarkResult& result,
    const CaseResult& one,
    const std::string& pass,
    const Spread& spread) {
  PassFacts facts;
  facts.gflops = one.flops.at(pass) / spread.median / 1e9;
  const auto peak =
      result.peak_gflops.find(cases::dtype_name(one.attention.dtype));
  if (peak != result.peak_gflops.end() && peak->second > 0) {
    facts.share_of_peak = facts.gflops / peak->second;
  }
  facts.share_of_matmul = facts.gflops / result.matmul_gflops;
  return facts;
}

nlohmann::json to_json(const SystemInfo& info) {
  return {
      {"mlx", info.mlx_version},
      {"device", info.device},
      {"backends", info.backends},
      {"processor", info.processor},
      {"instruction_set", info.instruction_set},
      {"threads", info.threads},
      {"memory_gib", info.memory_gib},
      {"gpu", info.gpu},
      {"blas", info.blas},
      {"blas_kernels", info.blas_kernels}};
}

std::string now() {
  const auto time =
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

} // namespace tessera::bench
