#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "bench/output/facts.h"
#include "check/case.h"

namespace tessera {

namespace {

// Every column once: its name, and what a line has there.
using Line = std::vector<std::pair<std::string, std::string>>;

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) {
    return text;
  }
  std::string out = "\"";
  for (const char c : text) {
    out += c == '"' ? std::string("\"\"") : std::string(1, c);
  }
  return out + "\"";
}

template <class T>
std::string or_empty(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "";
}

void add_case(Line& line, const CaseResult& one) {
  const auto& c = one.attention;
  const auto number = [&](const char* name, int value) {
    line.emplace_back(name, std::to_string(value));
  };
  number("seq_len", c.Nk);
  number("head_dim", c.D);
  number("batch_size", c.B);
  number("query_length", c.Nq);
  number("value_dim", c.Dv);
  number("heads", c.Hq);
  number("kv_heads", c.Hkv);
  line.emplace_back("dtype", cases::dtype_name(c.dtype));
  line.emplace_back("mask", cases::describe_mask(c));
}

void add_times(
    Line& line,
    const BenchmarkResult& result,
    const CaseResult& one,
    const std::string& pass,
    const Spread* spread) {
  const auto facts =
      spread ? bench::facts_of(result, one, pass, *spread) : bench::PassFacts{};
  const auto number = [&](const char* name, double value) {
    line.emplace_back(name, spread ? fmt::format("{:.6g}", value) : "");
  };
  const Spread s = spread ? *spread : Spread{};
  line.emplace_back("pass", pass);
  number("median_s", s.median);
  number("lowest_s", s.lowest);
  number("lower_quartile_s", s.lower_quartile);
  number("upper_quartile_s", s.upper_quartile);
  number("highest_s", s.highest);
  number("gflops", facts.gflops);
  line.emplace_back("share_of_peak", or_empty(facts.share_of_peak));
  number("share_of_matmul", facts.share_of_matmul);
}

void add_machine(Line& line, const BenchmarkResult& r) {
  line.emplace_back("processor", r.system.processor);
  line.emplace_back("instruction_set", r.system.instruction_set);
  line.emplace_back("threads", std::to_string(r.system.threads));
  line.emplace_back("device", r.system.device);
  line.emplace_back("matmul_gflops", fmt::format("{:.6g}", r.matmul_gflops));
  line.emplace_back("rounds", std::to_string(r.rounds));
  line.emplace_back("tessera", r.tessera_version);
  line.emplace_back("mlx", r.system.mlx_version);
  line.emplace_back("date", r.date);
}

Line line_of(
    const BenchmarkResult& result,
    const CaseResult& one,
    const ContenderResult& contender,
    const std::string& pass) {
  const auto found = contender.passes.find(pass);
  Line line;
  add_case(line, one);
  line.emplace_back("contender", contender.name);
  line.emplace_back("path", contender.path);
  add_times(
      line,
      result,
      one,
      pass,
      found == contender.passes.end() ? nullptr : &found->second);
  line.emplace_back("memory_bytes", or_empty(contender.memory));
  line.emplace_back("error_in_tolerances", or_empty(contender.error));
  line.emplace_back("skipped", contender.skipped);
  line.emplace_back("failed", contender.failed ? "1" : "0");
  line.emplace_back("speedup", or_empty(one.speedup));
  line.emplace_back("memory_reduction", or_empty(one.memory_reduction));
  add_machine(line, result);
  return line;
}

std::string joined(const Line& line, bool names) {
  std::vector<std::string> cells;
  for (const auto& [name, value] : line) {
    cells.push_back(quoted(names ? name : value));
  }
  return fmt::format("{}\n", fmt::join(cells, ","));
}

} // namespace

std::string benchmark_csv(const BenchmarkResult& result) {
  std::string text;
  for (const auto& one : result.results) {
    for (const auto& contender : one.contenders) {
      for (const auto& [pass, unused] : one.flops) {
        const auto line = line_of(result, one, contender, pass);
        text += text.empty() ? joined(line, true) : "";
        text += joined(line, false);
      }
    }
  }
  return text;
}

} // namespace tessera
