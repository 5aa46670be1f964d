#include "train/run/report.h"

#include <fstream>

#include "embedded/report_html.h"
#include "model/file.h"
#include "tessera/error.h"
#include "train/run/files.h"

namespace tessera::train {

namespace {

constexpr std::string_view placeholder = "{{run}}";

// JSON within <script>: "</script>" in a string must not end it.
std::string script_safe(const nlohmann::json& json) {
  std::string text;
  for (char c : text_of(json)) {
    text += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  return text;
}

} // namespace

void write_report(
    const std::filesystem::path& run_folder, std::string_view status) {
  nlohmann::json run = {
      {"config", read_json(run_folder / "config.json")},
      {"status", status},
      {"metrics", nlohmann::json::array()}};
  std::ifstream in(run_folder / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    run["metrics"].push_back(nlohmann::json::parse(line));
  }
  std::size_t at = report_html.find(placeholder);
  if (at == std::string_view::npos) {
    fail("report", "expected {} in report.html", placeholder);
  }
  write_file(run_folder / "report.html", [&](std::ostream& out) {
    out << report_html.substr(0, at) << script_safe(run)
        << report_html.substr(at + placeholder.size());
  });
}

} // namespace tessera::train
