#include "bench/output/facts.h"

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

} // namespace tessera::bench
