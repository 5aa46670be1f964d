#include "train/log/report.h"

#include <fstream>

#include "embedded/report_html.h"
#include "model/file.h"
#include "train/log/page.h"
#include "train/run/files.h"

namespace tessera::train {

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
  write_file(run_folder / "report.html", [&](std::ostream& out) {
    out << page_of(report_html, text_of(run));
  });
}

} // namespace tessera::train
