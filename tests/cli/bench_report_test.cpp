#include "cli/bench_report.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

namespace tessera::cli {
namespace {

namespace fs = std::filesystem;

BenchmarkResult with_a_failed_row() {
  BenchmarkResult result;
  result.results.resize(1);
  result.results[0].contenders.resize(2);
  result.results[0].contenders[1].failed = true;
  return result;
}

// What was measured is kept, whatever comes of a row.
TEST(Finish, LeavesTheFilesBeforeItThrows) {
  const auto file = fs::temp_directory_path() / "tessera-finish-test.json";
  for (const bool stopped : {false, true}) {
    fs::remove(file);
    auto result = with_a_failed_row();
    result.interrupted = stopped;
    OutputFiles files("bench");
    files.add("--json", file, [] { return std::string("text"); });
    EXPECT_THROW(finish(result, files, false), std::logic_error);
    EXPECT_TRUE(fs::exists(file));
  }
  fs::remove(file);
  EXPECT_NO_THROW(finish(BenchmarkResult{}, OutputFiles("bench"), false));
}

} // namespace
} // namespace tessera::cli
