#include "bench/tune/explain.h"

#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <variant>

#include "api/metal/backend.h"
#include "cli/attention_flags.h"
#include "cli/command.h"

namespace tessera::cli {
namespace {

struct Options {
  AttentionFlags attention;
  TableFlag table;
  std::string device;
  bool json = false;
};

// The GPU that --device names; nothing for this machine's default device.
std::optional<metal::Family> family_of(const std::string& device) {
  if (!device.starts_with("metal")) {
    return std::nullopt;
  }
  for (const auto family : metal::families) {
    if (device == fmt::format("metal:{}", metal::name(family))) {
      return family;
    }
  }
  return mx::metal::is_available() ? this_family() : metal::Family::m1;
}

nlohmann::json to_json(const PassExplanation& pass) {
  if (const auto* refusal = std::get_if<Refusal>(&pass.planned)) {
    return {{"pass", name_of(pass.problem.pass)}, {"refused", refusal->reason}};
  }
  const auto& plan = std::get<Plan>(pass.planned);
  return {
      {"pass", name_of(pass.problem.pass)},
      {"instruction_set", name(plan.isa)},
      {"rows", plan.rows},
      {"columns", plan.columns},
      {"split", plan.split},
      {"threads", plan.threads},
      {"workspace_bytes", pass.workspace_bytes},
      {"tuned", pass.tuned},
      {"not_tuned", pass.not_tuned}};
}

nlohmann::json to_json(const KernelExplanation& kernel) {
  nlohmann::json object = {{"pass", kernel.kernel}, {"tuned", kernel.tuned}};
  for (const auto& [name, value] : kernel.plan) {
    std::visit([&](const auto& v) { object[name] = v; }, value);
  }
  return object;
}

void run(const Options& o) {
  use_saved_table(o.table);
  const auto family = family_of(o.device);
  auto c = o.attention.value();
  if (family) {
    c.dtype = o.attention.dtype.value_or(mx::bfloat16);
  }
  const auto explanation = explain(c, family);
  if (o.json) {
    nlohmann::json object = {
        {"case", describe(c)},
        {"implementation", explanation.choice.name},
        {"reason", explanation.choice.reason},
        {"passes", nlohmann::json::array()}};
    for (const auto& pass : explanation.passes) {
      object["passes"].push_back(to_json(pass));
    }
    for (const auto& kernel : explanation.kernels) {
      object["passes"].push_back(to_json(kernel));
    }
    std::cout << object.dump(2) << '\n';
    return;
  }
  fmt::print(
      "case            {}\nimplementation  {}: {}\n",
      describe(c),
      explanation.choice.name,
      explanation.choice.reason);
  for (const auto& pass : explanation.passes) {
    fmt::print("{:<16}{}\n", name_of(pass.problem.pass), line_of(pass));
  }
  for (const auto& kernel : explanation.kernels) {
    fmt::print("{:<16}{}\n", kernel.kernel, line_of(kernel));
  }
}

} // namespace

void add_explain(CLI::App& program) {
  auto* command = program.add_subcommand(
      "explain", "Which code a call of attention takes, and why");
  auto options = std::make_shared<Options>();
  options->attention.attention.implementation = Implementation::automatic;
  add_case_flags(*command, options->attention);
  add_table_flag(*command, options->table);
  command
      ->add_option(
          "--device",
          options->device,
          "A GPU, which need not be here: metal is this machine's, or an M1; "
          "default the device that MLX takes")
      ->check(CLI::IsMember(
          {"metal", "metal:m1", "metal:m2", "metal:m3", "metal:m4"}))
      ->option_text("metal[:{m1,m2,m3,m4}]");
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
