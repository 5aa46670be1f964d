#include "embedded/bench_html.h"

#include "bench/output/facts.h"
#include "tessera/error.h"

namespace tessera {

namespace {

constexpr std::string_view placeholder = "{{benchmark}}";

// JSON within <script>: "</script>" in a string must not end it.
std::string script_safe(const std::string& json) {
  std::string text;
  for (const char c : json) {
    text += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  return text;
}

} // namespace

std::string benchmark_html(const BenchmarkResult& result) {
  const auto at = bench_html.find(placeholder);
  if (at == std::string_view::npos) {
    fail("bench", "expected {} in report.html", placeholder);
  }
  std::string page(bench_html.substr(0, at));
  page += script_safe(benchmark_json(result));
  page += bench_html.substr(at + placeholder.size());
  return page;
}

} // namespace tessera
