#include "cli/plan.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/finetune_flags.h"

namespace tessera::cli {
namespace {

std::string size_text(std::int64_t bytes) {
  return fmt::format("{:9.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::vector<std::pair<std::string, std::int64_t>> parts_of(
    const MemoryPrediction& p) {
  return {
      {"base", p.base},
      {"weights", p.weights},
      {"trained", p.trained},
      {"optimizer", p.optimizer},
      {"activations", p.activations},
      {"attention", p.attention},
      {"loss", p.loss},
      {"cache", p.cache}};
}

void print_table(const MemoryPlan& plan) {
  for (const auto& [name, bytes] : parts_of(plan.predicted)) {
    fmt::print("{:12}{}\n", name, size_text(bytes));
  }
  fmt::print(
      "{:12}{}  for batches of {} x {} tokens, {} of {} layers recomputed\n",
      "peak",
      size_text(plan.predicted.peak()),
      plan.rows,
      plan.columns,
      plan.recomputed_layers,
      plan.layers);
  if (plan.available == 0) {
    fmt::print("available     not known here: give --max-memory\n");
    return;
  }
  fmt::print(
      "{:12}{}  the run {}\n",
      "available",
      size_text(plan.available),
      plan.fits() ? "fits" : "does not fit");
  fmt::print(
      "would fit   {} tokens a row at batch size {}; batch size {} at {} "
      "tokens\n",
      plan.most_columns,
      plan.rows,
      plan.most_rows,
      plan.columns);
}

} // namespace

std::string plan_json(const MemoryPlan& plan) {
  nlohmann::ordered_json parts;
  for (const auto& [name, bytes] : parts_of(plan.predicted)) {
    parts[name] = bytes;
  }
  const nlohmann::ordered_json json = {
      {"bytes", parts},
      {"peak_bytes", plan.predicted.peak()},
      {"available_bytes", plan.available},
      {"fits", plan.fits()},
      {"layers", plan.layers},
      {"recomputed_layers", plan.recomputed_layers},
      {"rows", plan.rows},
      {"columns", plan.columns},
      {"most_rows", plan.most_rows},
      {"most_columns", plan.most_columns}};
  return json.dump(2);
}

void add_plan(CLI::App& program) {
  auto* command = program.add_subcommand(
      "plan",
      "Predict the memory of a finetune run, from the same flags; reads no "
      "weights, writes nothing");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "Print one JSON object")
      ->configurable(false);
  on_finetune_options(*command, [json](const FinetuneOptions& options) {
    const auto plan = plan_memory(options);
    if (*json) {
      fmt::print("{}\n", plan_json(plan));
    } else {
      print_table(plan);
    }
  });
}

} // namespace tessera::cli
