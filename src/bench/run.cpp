#include <algorithm>
#include <memory>
#include <utility>

#include "bench/contender.h"
#include "bench/measure/measure.h"
#include "bench/output/facts.h"
#include "bench/torch/torch.h"
#include "check/case.h"
#include "tessera/bench.h"
#include "tessera/error.h"
#include "tessera/profile.h"
#include "train/memory/machine.h"

namespace tessera {

namespace {

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
    result_.date = bench::now();
    result_.system = system_info();
    result_.rounds = o_.rounds;
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
  static void refuse(const AttentionCase& c) {
    if (c.implementation == Implementation::mlx) {
      reject(
          "bench",
          "expected tessera's own attention or auto, since MLX's op is timed "
          "beside it; got --use-flash-attention off");
    }
    const auto arrays = cases::empty_arrays(c);
    bench::tessera_contender(arrays);
  }

  void measure_rates() {
    result_.matmul_gflops = matmul_rate();
    for (const mx::Dtype dtype : {mx::float32, mx::float16, mx::bfloat16}) {
      if (const auto peak = attention_peak_flops(dtype)) {
        result_.peak_gflops[cases::dtype_name(dtype)] = *peak / 1e9;
      }
    }
  }

  // Nothing where it was stopped.
  std::optional<CaseResult> measure(const AttentionCase& c) {
    const auto arrays = cases::random_arrays(c, o_.all_gradients);
    bench::Contenders contenders;
    contenders.push_back(bench::mlx_contender(arrays, o_.backward));
    contenders.push_back(bench::tessera_contender(arrays));
    if (torch_) {
      contenders.push_back(torch_->contender(arrays));
    }
    auto result = bench::measure(
        arrays, contenders, o_, [&] { return observer_.should_stop(); });
    result_.interrupted = !result;
    return result;
  }

  const BenchmarkOptions& o_;
  BenchmarkObserver& observer_;
  std::unique_ptr<bench::Torch> torch_;
  BenchmarkResult result_;
};

} // namespace

BenchmarkResult benchmark_attention(
    const BenchmarkOptions& options, BenchmarkObserver* observer) {
  BenchmarkObserver silent;
  return Benchmark(options, observer ? *observer : silent).run();
}

void require_right(const BenchmarkResult& result) {
  const auto failed = [](const CaseResult& one) {
    return std::ranges::any_of(one.contenders, &ContenderResult::failed);
  };
  const auto first = std::ranges::find_if(result.results, failed);
  if (first != result.results.end()) {
    fail(
        "bench",
        "expected right results in every row; got {} that failed, first {}",
        std::ranges::count_if(result.results, failed),
        describe(first->attention));
  }
}

} // namespace tessera
