#pragma once

#include <string>

#include "cli/interrupt.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "tessera/bench.h"

namespace tessera::cli {

// Shows a benchmark as it goes: a table on standard output, and a progress line
// on standard error where that is a terminal.
class BenchReport : public BenchmarkObserver {
 public:
  explicit BenchReport(const InterruptGuard& interrupt);

  void measuring(const AttentionCase& c, int index, int count) override;
  void measured(const BenchmarkResult& result, const CaseResult& one) override;
  bool should_stop() override;

 private:
  void print(const std::string& text);

  const InterruptGuard& interrupt_;
  ProgressLine progress_;
  bool headed_ = false;
};

// Leaves the files, then throws where the benchmark was stopped or a row of it
// has failed.
void finish(
    const BenchmarkResult& result, const OutputFiles& files, bool force);

} // namespace tessera::cli
