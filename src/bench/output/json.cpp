#include <nlohmann/json.hpp>

#include "bench/output/facts.h"
#include "check/case.h"

namespace tessera::bench {

namespace {

using nlohmann::json;

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

json pass_json(
    const BenchmarkResult& result,
    const CaseResult& one,
    const std::string& pass,
    const Spread& spread) {
  const auto facts = facts_of(result, one, pass, spread);
  return {
      {"time", spread.median},
      {"lowest", spread.lowest},
      {"lower_quartile", spread.lower_quartile},
      {"upper_quartile", spread.upper_quartile},
      {"highest", spread.highest},
      {"gflops", facts.gflops},
      {"share_of_peak", or_null(facts.share_of_peak)},
      {"share_of_matmul", facts.share_of_matmul}};
}

json contender_json(
    const BenchmarkResult& result,
    const CaseResult& one,
    const ContenderResult& contender) {
  json object = {
      {"time", contender.skipped.empty() ? json(contender.time) : json()},
      {"memory", or_null(contender.memory)},
      {"path", contender.path},
      {"error_in_tolerances", or_null(contender.error)}};
  if (!contender.skipped.empty()) {
    object["skipped"] = contender.skipped;
    object["failed"] = contender.failed;
  }
  for (const auto& [pass, spread] : contender.passes) {
    object[pass] = pass_json(result, one, pass, spread);
  }
  return object;
}

json case_json(const BenchmarkResult& result, const CaseResult& one) {
  const auto& c = one.attention;
  json object = {
      {"seq_len", c.Nk},
      {"head_dim", c.D},
      {"batch_size", c.B},
      {"query_length", c.Nq},
      {"value_dim", c.Dv},
      {"heads", c.Hq},
      {"kv_heads", c.Hkv},
      {"dtype", cases::dtype_name(c.dtype)},
      {"mask", cases::describe_mask(c)},
      {"flops", one.flops},
      {"speedup", or_null(one.speedup)},
      {"memory_reduction", or_null(one.memory_reduction)}};
  for (const auto& contender : one.contenders) {
    object[contender.name] = contender_json(result, one, contender);
  }
  return object;
}

} // namespace

json to_json(const BenchmarkResult& r) {
  auto results = json::array();
  for (const auto& one : r.results) {
    results.push_back(case_json(r, one));
  }
  auto object = to_json(r.system);
  object.update(
      {{"tessera", r.tessera_version},
       {"date", r.date},
       {"rounds", r.rounds},
       {"matmul_gflops", r.matmul_gflops},
       {"peak_gflops", r.peak_gflops},
       {"process_peak_memory", r.process_peak},
       {"interrupted", r.interrupted},
       {"results", results}});
  return object;
}

} // namespace tessera::bench

namespace tessera {

std::string benchmark_json(const BenchmarkResult& result) {
  using Handler = nlohmann::json::error_handler_t;
  return bench::to_json(result).dump(2, ' ', false, Handler::replace) + "\n";
}

} // namespace tessera
