#pragma once

#include "cli/interrupt.h"
#include "cli/progress.h"
#include "tessera/finetune.h"

namespace tessera::cli {

// Tells a person how a run goes: lines on standard output, and a progress bar
// on standard error where that is a terminal.
class TerminalReport : public FinetuneObserver {
 public:
  TerminalReport(
      const FinetuneOptions& options, const InterruptGuard& interrupt);

  void started(const RunPlan& plan) override;
  void stepped(const StepReport& step) override;
  void evaluating(int batch, int batches) override;
  void evaluated(const EvalReport& eval) override;
  void saved(const std::filesystem::path& folder) override;
  bool should_stop() override;

  void finished(const FinetuneResult& result);

 private:
  void print(const std::string& line);

  const FinetuneOptions& options_;
  const InterruptGuard& interrupt_;
  ProgressLine progress_;
  int first_step_ = 0;
  int steps_ = 0;
};

} // namespace tessera::cli
