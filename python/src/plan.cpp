#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/finetune_flags.h"
#include "module.h"
#include "tessera/error.h"

// The memory of a run of training, from the flags that the command line reads.
namespace tessera::python {

namespace {

using namespace nanobind::literals;

MemoryPlan plan_of(const std::vector<std::string>& flags) {
  CLI::App program;
  program.option_defaults()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);
  std::optional<MemoryPlan> plan;
  auto* command = program.add_subcommand("plan");
  cli::on_finetune_options(*command, [&](const FinetuneOptions& options) {
    plan = plan_memory(options);
  });
  std::vector<std::string> words(flags.rbegin(), flags.rend());
  words.emplace_back("plan"); // CLI11 reads from the end
  try {
    program.parse(words);
  } catch (const CLI::ParseError& error) {
    reject(
        "plan",
        "expected the options of tessera finetune; got: {}",
        error.what());
  }
  return plan.value();
}

nb::dict to_dict(const MemoryPlan& plan) {
  const auto& p = plan.predicted;
  nb::dict bytes;
  bytes["base"] = p.base;
  bytes["weights"] = p.weights;
  bytes["trained"] = p.trained;
  bytes["optimizer"] = p.optimizer;
  bytes["activations"] = p.activations;
  bytes["attention"] = p.attention;
  bytes["loss"] = p.loss;
  bytes["cache"] = p.cache;
  nb::dict told;
  told["bytes"] = bytes;
  told["peak_bytes"] = p.peak();
  told["available_bytes"] = plan.available;
  told["fits"] = plan.fits();
  told["layers"] = plan.layers;
  told["recomputed_layers"] = plan.recomputed_layers;
  told["rows"] = plan.rows;
  told["columns"] = plan.columns;
  told["most_rows"] = plan.most_rows;
  told["most_columns"] = plan.most_columns;
  return told;
}

nb::dict plan(const std::vector<std::string>& flags) {
  MemoryPlan found;
  {
    nb::gil_scoped_release unlocked; // it reads the data
    found = plan_of(flags);
  }
  return to_dict(found);
}

} // namespace

void add_plan(nb::module_& module) {
  module.def(
      "plan",
      &plan,
      "flags"_a,
      "The memory that `tessera plan` predicts for these flags.");
}

} // namespace tessera::python
