#include "embedded/bench_html.h"

#include "bench/output/facts.h"
#include "train/log/page.h"

namespace tessera {

std::string benchmark_html(const BenchmarkResult& result) {
  return train::page_of(bench_html, benchmark_json(result));
}

} // namespace tessera
