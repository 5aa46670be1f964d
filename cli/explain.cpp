#include "bench/tune/explain.h"

#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/attention_flags.h"
#include "cli/command.h"

namespace tessera::cli {
namespace {

struct Options {
  AttentionFlags attention;
  TableFlag table;
  bool json = false;
};

const char* name_of(Pass pass) {
  return pass == Pass::forward ? "forward"
      : pass == Pass::backward ? "backward"
                               : "dbias";
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

std::string line_of(const PassExplanation& pass) {
  if (const auto* refusal = std::get_if<Refusal>(&pass.planned)) {
    return "refused: " + refusal->reason;
  }
  const auto& plan = std::get<Plan>(pass.planned);
  return fmt::format(
      "{}, {}{}, {} threads, {:.2f} MiB of workspace{}",
      name(plan.isa),
      plan.split > 0
          ? fmt::format("runs of {} keys", plan.split)
          : fmt::format("blocks of {} x {}", plan.rows, plan.columns),
      pass.tuned ? " (tuned)" : "",
      plan.threads,
      static_cast<double>(pass.workspace_bytes) / (1 << 20),
      pass.not_tuned.empty()
          ? ""
          : "; the saved table's blocks are not taken: " + pass.not_tuned);
}

void run(const Options& o) {
  use_saved_table(o.table);
  const auto c = o.attention.value();
  const auto explanation = explain(c);
  if (o.json) {
    nlohmann::json object = {
        {"case", describe(c)},
        {"implementation", explanation.choice.name},
        {"reason", explanation.choice.reason},
        {"passes", nlohmann::json::array()}};
    for (const auto& pass : explanation.passes) {
      object["passes"].push_back(to_json(pass));
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
}

} // namespace

void add_explain(CLI::App& program) {
  auto* command = program.add_subcommand(
      "explain", "Which code a call of attention takes, and why");
  auto options = std::make_shared<Options>();
  options->attention.attention.implementation = Implementation::automatic;
  add_case_flags(*command, options->attention);
  add_table_flag(*command, options->table);
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
