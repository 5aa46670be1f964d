#include "cli/report.h"

#include <fmt/core.h>

#include <cstdio>

#include "train/memory/machine.h"

namespace tessera::cli {
namespace {

constexpr int kBarCells = 24;

// 1234567 -> "1.23 M"
std::string format_count(double count) {
  static constexpr const char* kUnits[] = {"", " K", " M", " G"};
  int unit = 0;
  while (count >= 1000.0 && unit < 3) {
    count /= 1000.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f}", count)
                   : fmt::format("{:.3g}{}", count, kUnits[unit]);
}

std::string describe(const AttentionReport& a) {
  return fmt::format(
      "             attention {:.3g} ms forward, {:.3g} ms backward, {:.3g} % "
      "of "
      "the step, {:.3g} GF/s{}, {:.3g} MB moved",
      1e3 * a.forward_seconds,
      1e3 * a.backward_seconds,
      100 * a.share,
      a.flops / 1e9,
      a.of_peak ? fmt::format(" ({:.3g} % of peak)", 100 * *a.of_peak) : "",
      a.bytes / 1e6);
}

} // namespace

TerminalReport::TerminalReport(
    const FinetuneOptions& options, const InterruptGuard& interrupt)
    : options_(options),
      interrupt_(interrupt),
      progress_(stderr_is_terminal()) {}

void TerminalReport::print(const std::string& line) {
  progress_.clear();
  // Where this fails the run goes on: its folder has all that is said here.
  std::fputs((line + '\n').c_str(), stdout);
  std::fflush(stdout);
}

void TerminalReport::started(const RunPlan& plan) {
  first_step_ = plan.first_step;
  steps_ = plan.steps;
  print(fmt::format(
      "model      {} parameters, {} trained ({:.3g} %), {}",
      format_count(static_cast<double>(plan.parameters)),
      format_count(static_cast<double>(plan.trainable_parameters)),
      100.0 * static_cast<double>(plan.trainable_parameters) /
          static_cast<double>(plan.parameters),
      plan.dtype));
  print(fmt::format(
      "data       {} documents to train on ({} tokens, longest {}), {} to "
      "validate, {} to test",
      plan.train_documents,
      format_count(static_cast<double>(plan.train_tokens)),
      plan.longest_document,
      plan.valid_documents,
      plan.test_documents));
  if (plan.packing) {
    print(fmt::format(
        "packing    {} rows, {:.1f} % filled; padded batches would hold {:.2f} "
        "times the tokens",
        plan.packing->rows,
        100 * plan.packing->fill,
        plan.packing->fewer_tokens));
  }
  print(fmt::format(
      "attention  {}: {}", plan.attention.name, plan.attention.reason));
  print(fmt::format(
      "memory     {:.2f} GiB predicted at the peak, of {:.2f} GiB; {} of {} "
      "layers recomputed",
      train::gib(plan.memory.predicted.peak()),
      train::gib(plan.memory.available),
      plan.memory.recomputed_layers,
      plan.memory.layers));
  print(fmt::format(
      "steps      {} ({:.2f} epochs), from {}",
      plan.steps,
      plan.epochs,
      plan.first_step));
  for (const auto& note : plan.notes) {
    print("note       " + note);
  }
}

void TerminalReport::stepped(const StepReport& step) {
  const double left =
      step.seconds / (step.step - first_step_) * (steps_ - step.step);
  const auto facts = fmt::format(
      "loss {:.4f} · {:.0f} tok/s · {:.2f} GiB · ETA {}",
      step.loss,
      step.tokens_per_second,
      step.peak_memory_gib,
      format_duration(left));
  if (step.step % options_.steps_per_report == 0 || step.step == steps_) {
    print(fmt::format(
        "step {:>6}  loss {:.4f}  rate {:.2e}  norm {:.3g}  "
        "{:.0f} tok/s  peak {:.2f} GiB",
        step.step,
        step.loss,
        step.learning_rate,
        step.grad_norm,
        step.tokens_per_second,
        step.peak_memory_gib));
    if (step.attention) {
      print(describe(*step.attention));
    }
  }
  progress_.show(fmt::format(
      "{} {}/{} · {}",
      draw_bar(static_cast<double>(step.step) / steps_, kBarCells),
      step.step,
      steps_,
      facts));
}

void TerminalReport::evaluating(int batch, int batches) {
  progress_.show(fmt::format(
      "{} evaluating {}/{}",
      draw_bar(static_cast<double>(batch) / batches, kBarCells),
      batch,
      batches));
}

void TerminalReport::evaluated(const EvalReport& eval) {
  print(fmt::format(
      "{} at step {}: loss {:.4f}, perplexity {:.2f} ({} tokens)",
      eval.split,
      eval.step,
      eval.loss,
      eval.perplexity,
      eval.target_tokens));
}

void TerminalReport::saved(const std::filesystem::path& folder) {
  print(fmt::format("saved      {}", folder.string()));
}

bool TerminalReport::should_stop() {
  return interrupt_.requested();
}

void TerminalReport::finished(const FinetuneResult& result) {
  if (!options_.train) {
    return;
  }
  print(fmt::format(
      "{} {} steps in {}, {:.0f} tok/s, peak {:.2f} GiB",
      result.interrupted ? "stopped  " : "done      ",
      result.steps,
      format_duration(result.seconds),
      result.tokens_per_second,
      result.peak_memory_gib));
  print(fmt::format(
      "report     {}", (options_.adapter_path / "report.html").string()));
}

} // namespace tessera::cli
