#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <utility>

#include "backend/cpu/peak.h"
#include "bench/case.h"
#include "bench/check/check.h"
#include "bench/contender.h"
#include "bench/spread.h"
#include "bench/torch/torch.h"
#include "tessera/error.h"
#include "train/memory/machine.h"

namespace tessera {

namespace {

using bench::Contender;
using Contenders = std::vector<std::unique_ptr<Contender>>;
using Seconds = std::map<std::string, std::vector<double>>;

std::string name_of(Pass pass) {
  return pass == Pass::forward ? "forward" : "backward";
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

// Two products forward; dV, dP, dQ, dK and S again backward.
double flops(const AttentionCase& c, Pass pass, double pairs) {
  const double features =
      pass == Pass::forward ? 1.0 * c.D + c.Dv : 3.0 * c.D + 2.0 * c.Dv;
  return 2 * features * pairs;
}

// Everything of one benchmark that lasts longer than a case.
class Benchmark {
 public:
  Benchmark(const BenchmarkOptions& options, BenchmarkObserver& observer)
      : o_(options), observer_(observer) {
    if (o_.rounds < 1 || !(o_.forward || o_.backward)) {
      reject(
          "bench",
          "expected at least one round and one pass; got {} and {}",
          o_.rounds,
          o_.forward || o_.backward ? "some" : "none");
    }
    result_.tessera_version = TESSERA_VERSION;
    result_.date = now();
    result_.system = system_info();
    result_.rounds = o_.rounds;
    if (o_.forward) {
      passes_.push_back(Pass::forward);
    }
    if (o_.backward) {
      passes_.push_back(Pass::backward);
    }
  }

  BenchmarkResult run() {
    const auto cases = o_.grid.cases();
    for (const auto& c : cases) {
      refuse(c); // before anything takes time
    }
    if (!o_.torch.empty()) {
      torch_ = std::make_unique<bench::Torch>(o_.torch, result_.system.threads);
    }
    measure_rates();
    for (std::size_t i = 0; i < cases.size() && !result_.interrupted; ++i) {
      observer_.measuring(
          cases[i], static_cast<int>(i), static_cast<int>(cases.size()));
      if (auto one = measure(cases[i])) {
        result_.results.push_back(*one);
        observer_.measured(result_, *one);
      }
    }
    result_.process_peak = train::peak_memory();
    return std::move(result_);
  }

 private:
  void refuse(const AttentionCase& c) const {
    const auto arrays = bench::empty_arrays(c);
    bench::tessera_contender(arrays);
  }

  void measure_rates() {
    result_.matmul_gflops = matmul_rate();
    if (result_.system.device != "cpu") {
      return;
    }
    for (const auto& [name, dtype] :
         {std::pair{"float32", Dtype::float32},
          {"float16", Dtype::float16},
          {"bfloat16", Dtype::bfloat16}}) {
      // Where the units for pairs are the slower ones, 16-bit inputs are better
      // converted.
      const int threads = result_.system.threads;
      const double peak = std::max(
          cpu::peak_flops(dtype, threads),
          cpu::peak_flops(Dtype::float32, threads));
      result_.peak_gflops[name] = peak / 1e9;
    }
  }

  // Nothing where it was stopped.
  std::optional<CaseResult> measure(const AttentionCase& c) {
    const auto arrays = bench::random_arrays(c, o_.all_gradients);
    Contenders contenders;
    contenders.push_back(bench::mlx_contender(arrays, o_.backward));
    contenders.push_back(bench::tessera_contender(arrays));
    if (torch_) {
      contenders.push_back(torch_->contender(c));
    }
    CaseResult result;
    result.attention = c;
    for (auto& contender : contenders) {
      result.contenders.push_back(first(arrays, *contender));
    }
    std::vector<Seconds> seconds(contenders.size());
    for (int round = 0; round < o_.rounds; ++round) {
      if (observer_.should_stop()) {
        result_.interrupted = true;
        return std::nullopt;
      }
      time_round(contenders, seconds);
    }
    finish(arrays, contenders, seconds, result);
    return result;
  }

  // What is done once: the comparison, the memory, and with it the warm-up.
  ContenderResult first(const bench::Arrays& arrays, Contender& contender) {
    ContenderResult result;
    result.name = contender.name;
    result.path = contender.path;
    guarded(contender, [&] { result.error = checked(arrays, contender); });
    guarded(contender, [&] { result.memory = contender.memory(o_.backward); });
    return result;
  }

  // MLX's op may take a while on what is the check of ours: forward alone, and
  // where it differs it is told, not refused.
  std::optional<double> checked(
      const bench::Arrays& arrays, const Contender& contender) {
    const auto function = contender.function();
    if (!function) {
      return std::nullopt;
    }
    const bool ours = contender.path != "mlx";
    const double error = bench::error_of(arrays, function, ours && o_.backward);
    if (ours && !(error <= 1)) {
      fail(
          "bench",
          "expected results within the tolerance of plain formulas; got {:.3g} "
          "times it ({})",
          error,
          describe(arrays.attention));
    }
    return error;
  }

  void time_round(Contenders& contenders, std::vector<Seconds>& seconds) {
    for (const Pass pass : passes_) {
      for (std::size_t i = 0; i < contenders.size(); ++i) {
        guarded(*contenders[i], [&] {
          seconds[i][name_of(pass)].push_back(contenders[i]->time(pass));
        });
      }
    }
  }

  // What another's op throws is its cell of the table, not our end.
  template <class Work>
  void guarded(Contender& contender, Work work) {
    if (!contender.skipped.empty()) {
      return;
    }
    try {
      work();
    } catch (const std::exception& error) {
      if (contender.name == "flash") {
        throw;
      }
      contender.skipped = error.what();
    }
  }

  void finish(
      const bench::Arrays& arrays,
      const Contenders& contenders,
      const std::vector<Seconds>& seconds,
      CaseResult& result) {
    const double pairs = bench::seen_pairs(arrays);
    for (const Pass pass : passes_) {
      result.flops[name_of(pass)] = flops(arrays.attention, pass, pairs);
    }
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      auto& cell = result.contenders[i];
      cell.skipped = contenders[i]->skipped;
      if (!cell.skipped.empty()) {
        cell.memory.reset();
        continue;
      }
      for (const auto& [name, values] : seconds[i]) {
        cell.passes[name] = bench::spread_of(values);
        cell.time += cell.passes[name].median;
      }
    }
    const auto& mlx = result.contenders[0];
    const auto& flash = result.contenders[1];
    if (mlx.skipped.empty() && flash.time > 0) {
      result.speedup = mlx.time / flash.time;
    }
    if (mlx.memory && flash.memory && *mlx.memory > 0) {
      result.memory_reduction =
          static_cast<double>(*mlx.memory - *flash.memory) /
          static_cast<double>(*mlx.memory);
    }
  }

  const BenchmarkOptions& o_;
  BenchmarkObserver& observer_;
  std::vector<Pass> passes_;
  std::unique_ptr<bench::Torch> torch_;
  BenchmarkResult result_;
};

} // namespace

BenchmarkResult benchmark_attention(
    const BenchmarkOptions& options, BenchmarkObserver* observer) {
  BenchmarkObserver silent;
  return Benchmark(options, observer ? *observer : silent).run();
}

} // namespace tessera
