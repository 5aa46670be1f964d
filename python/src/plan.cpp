#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/finetune_flags.h"
#include "cli/plan.h"
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

std::string plan(const std::vector<std::string>& flags) {
  nb::gil_scoped_release unlocked; // it reads the data
  return cli::plan_json(plan_of(flags));
}

} // namespace

void add_plan(nb::module_& module) {
  module.def(
      "plan",
      &plan,
      "flags"_a,
      "The JSON that `tessera plan` prints for these flags.");
}

} // namespace tessera::python
