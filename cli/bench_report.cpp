#include "cli/bench_report.h"

#include <fmt/format.h>

#include <cstdio>

namespace tessera::cli {
namespace {

constexpr const char* row_format =
    "{:>11} {:>4} {:>5}  {:<6} {:<8} {:>10} {:>21} {:>8} {:>7} {:>9} {:>9} "
    "{:>6}\n";

std::string percent(double share) {
  return fmt::format("{:.0f} %", 100 * share);
}

std::string milliseconds(double seconds) {
  return fmt::format("{:.4g}", seconds * 1e3);
}

std::string head(const BenchmarkResult& r, const CaseResult& one) {
  std::string peaks;
  for (const auto& [dtype, rate] : r.peak_gflops) {
    peaks += fmt::format(", {} peak {:.0f}", dtype, rate);
  }
  return fmt::format(
             "machine    {}, {} threads, {}, MLX on the {}\n"
             "versions   tessera {}, mlx {} ({}), {}\n"
             "GFLOP/s    matmul {:.0f}{}\n"
             "attention  {}\n"
             "           medians of {} rounds\n\n",
             r.system.processor,
             r.system.threads,
             r.system.instruction_set,
             r.system.device,
             r.tessera_version,
             r.system.mlx_version,
             r.system.blas,
             r.date,
             r.matmul_gflops,
             peaks,
             describe(one.attention),
             r.rounds) +
      fmt::format(
             row_format,
             "length",
             "D",
             "batch",
             "",
             "pass",
             "ms",
             "lowest to highest",
             "GFLOP/s",
             "of peak",
             "of matmul",
             "MiB",
             "error");
}

std::string length(const AttentionCase& c) {
  return c.Nq == c.Nk ? std::to_string(c.Nk) : fmt::format("{}:{}", c.Nq, c.Nk);
}

std::string row(
    const BenchmarkResult& r,
    const CaseResult& one,
    const ContenderResult& contender,
    const std::string& pass,
    const Spread& spread) {
  const auto& c = one.attention;
  const double gflops = one.flops.at(pass) / spread.median / 1e9;
  const auto dtype = c.dtype == mx::float32 ? "float32"
      : c.dtype == mx::float16              ? "float16"
                                            : "bfloat16";
  const auto peak = r.peak_gflops.find(dtype);
  return fmt::format(
      row_format,
      length(c),
      c.D,
      c.B,
      contender.name,
      pass,
      milliseconds(spread.median),
      fmt::format(
          "{} to {}",
          milliseconds(spread.lowest),
          milliseconds(spread.highest)),
      fmt::format("{:.1f}", gflops),
      peak == r.peak_gflops.end() ? "-" : percent(gflops / peak->second),
      percent(gflops / r.matmul_gflops),
      contender.memory
          ? fmt::format(
                "{:.1f}", static_cast<double>(*contender.memory) / (1 << 20))
          : "-",
      contender.error ? fmt::format("{:.2f}", *contender.error) : "-");
}

} // namespace

BenchReport::BenchReport(const InterruptGuard& interrupt)
    : interrupt_(interrupt), progress_(stderr_is_terminal()) {}

void BenchReport::print(const std::string& text) {
  progress_.clear();
  fmt::print("{}", text);
  std::fflush(stdout);
}

void BenchReport::measuring(const AttentionCase& c, int index, int count) {
  progress_.show(fmt::format("{} of {}: {}", index + 1, count, describe(c)));
}

void BenchReport::measured(
    const BenchmarkResult& result, const CaseResult& one) {
  std::string text = headed_ ? "" : head(result, one);
  headed_ = true;
  for (const auto& contender : one.contenders) {
    if (!contender.skipped.empty()) {
      text += fmt::format(
          "{:>11} {:>4} {:>5}  {:<6} {}\n",
          length(one.attention),
          one.attention.D,
          one.attention.B,
          contender.name,
          (contender.failed ? "FAILED: " : "") + contender.skipped);
    }
    for (const auto* pass : {"forward", "backward"}) {
      const auto found = contender.passes.find(pass);
      if (found != contender.passes.end()) {
        text += row(result, one, contender, pass, found->second);
      }
    }
  }
  for (const auto& contender : one.contenders) {
    if (contender.skipped.empty() && contender.error &&
        !(*contender.error <= 1)) {
      text += fmt::format(
          "{:>23}{} differs from the definition: queries that see no key?\n",
          "",
          contender.name);
    }
  }
  const auto& flash = one.contenders[1];
  if (flash.path == "mlx") {
    text += fmt::format("{:>23}{} took MLX's op here\n", "", flash.name);
  }
  if (one.speedup) {
    text += fmt::format("{:>23}speedup {:.2f}", "", *one.speedup);
    text += one.memory_reduction
        ? fmt::format(", memory reduction {}\n", percent(*one.memory_reduction))
        : "\n";
  }
  print(text);
}

bool BenchReport::should_stop() {
  return interrupt_.requested();
}

void finish(
    const BenchmarkResult& result, const OutputFiles& files, bool force) {
  files.write(force);
  require_right(result);
  if (result.interrupted) {
    throw Interrupted("stopped; what was measured is kept");
  }
}

} // namespace tessera::cli
