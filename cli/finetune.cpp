#include "tessera/finetune.h"

#include <fmt/core.h>

#include <cstdio>

#include "cli/command.h"
#include "cli/finetune_flags.h"
#include "cli/interrupt.h"
#include "cli/report.h"
#include "tessera/error.h"

namespace tessera::cli {
namespace {

void run(const FinetuneOptions& options) {
  InterruptGuard interrupt;
  TerminalReport report(options, interrupt);
  const auto result = finetune(options, report);
  report.finished(result);
  if (result.interrupted) {
    throw Interrupted(fmt::format(
        "stopped after step {}; a checkpoint is saved, go on with --resume",
        result.steps));
  }
  if (std::ferror(stdout) != 0) {
    reject(
        "finetune",
        "expected a standard output that can be written; got an error; the run "
        "is complete all the same, in {}",
        options.adapter_path.string());
  }
}

} // namespace

void add_finetune(CLI::App& program) {
  auto* command = program.add_subcommand(
      "finetune", "Train a LoRA adapter, a whole model, or one from scratch");
  on_finetune_options(*command, run);
}

} // namespace tessera::cli
