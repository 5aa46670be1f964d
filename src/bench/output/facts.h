#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tessera/bench.h"

namespace tessera::bench {

// What every output says about one pass of one contender.
struct PassFacts {
  double gflops = 0;
  std::optional<double> share_of_peak; // of the dtype's peak
  double share_of_matmul = 0;
};

PassFacts facts_of(
    const BenchmarkResult& result,
    const CaseResult& one,
    const std::string& pass,
    const Spread& spread);

nlohmann::json to_json(const BenchmarkResult& result);
nlohmann::json to_json(const SystemInfo& info);

std::string now(); // UTC, ISO 8601

} // namespace tessera::bench
