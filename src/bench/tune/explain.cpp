#include "bench/tune/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <tuple>
#include <utility>

#include "api/arguments.h"
#include "api/explain.h"
#include "api/node/cpu_call.h"
#include "backend/cpu/launch.h"
#include "bench/kernel/facts.h"
#include "check/arrays.h"

namespace tessera {

namespace {

PassExplanation explain_pass(const Problem& problem, int block_size) {
  PassExplanation one;
  one.problem = problem;
  const auto planned = plan_on_cpu(problem, block_size);
  one.planned = planned.planned;
  one.tuned = planned.tuned.has_value();
  one.not_tuned = planned.not_tuned;
  if (const auto* plan = std::get_if<Plan>(&one.planned)) {
    cpu::Task task;
    task.problem = problem;
    task.plan = *plan;
    one.workspace_bytes = cpu::workspace_bytes(task);
  }
  return one;
}

std::vector<PassExplanation> explain_on_cpu(Problem problem, int block_size) {
  std::vector<PassExplanation> passes;
  for (const Pass pass : {Pass::forward, Pass::backward, Pass::dbias}) {
    if (pass != Pass::dbias || problem.features.bias) {
      problem.pass = pass;
      passes.push_back(explain_pass(problem, block_size));
    }
  }
  return passes;
}

std::vector<KernelExplanation> explain_kernels(
    const Arguments& arguments, const MetalBackend& backend) {
  const auto& problem = arguments.problem;
  const auto call = metal_call(problem, arguments.settings, backend);
  auto untuned = call;
  untuned.tiles = {};
  auto passes = metal::backward_passes(metal::gradients_of(problem));
  passes.insert(passes.begin(), metal::Pass::forward);
  std::vector<KernelExplanation> kernels;
  for (const auto pass : passes) {
    const auto planned = metal::plan_for(call, pass);
    const auto* plan = std::get_if<metal::Plan>(&planned);
    if (metal::by_scores(pass) && plan != nullptr) {
      const auto own = metal::plan_for(untuned, pass);
      kernels.push_back(
          {std::string(metal::name(pass)),
           bench::facts_of(*plan),
           own != planned});
    }
  }
  return kernels;
}

Explanation explained(
    Choice choice,
    const Arguments& arguments,
    const std::optional<MetalBackend>& backend) {
  Explanation all;
  if (choice.name == "tessera/cpu") {
    all.passes = explain_on_cpu(
        arguments.problem, backend ? 0 : arguments.settings.block_size);
  } else if (choice.name == "tessera/metal") {
    all.kernels = explain_kernels(arguments, *backend);
  }
  all.choice = std::move(choice);
  return all;
}

} // namespace

std::string name_of(Pass pass) {
  return pass == Pass::forward ? "forward"
      : pass == Pass::backward ? "backward"
                               : "dbias";
}

std::string line_of(const KernelExplanation& kernel) {
  std::vector<std::string> facts;
  for (const auto& fact : kernel.plan) {
    facts.push_back(fmt::format("{} {}", fact.first, bench::text_of(fact)));
  }
  return fmt::format(
      "{}{}", fmt::join(facts, ", "), kernel.tuned ? " (tuned)" : "");
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

Explanation explain_ours(const cases::Arrays& arrays, mx::Stream stream) {
  const auto backend = metal_backend(stream);
  return explained(
      {backend ? "tessera/metal" : "tessera/cpu", "asked for"},
      make_arguments(arrays.Q, arrays.K, arrays.V, arrays.options, stream),
      backend);
}

Explanation explain(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  const auto stream = mx::to_stream(s);
  return explained(
      explain_attention(Q, K, V, options, stream),
      make_arguments(Q, K, V, options, stream),
      metal_backend(stream));
}

Explanation explain(
    const AttentionCase& c, std::optional<metal::Family> family) {
  const auto arrays = cases::empty_arrays(c);
  const auto& [Q, K, V, options] =
      std::tie(arrays.Q, arrays.K, arrays.V, arrays.options);
  if (!family) {
    return explain(Q, K, V, options);
  }
  MetalBackend backend;
  if (mx::metal::is_available() && *family == this_family()) {
    backend = *metal_backend(mx::default_stream(mx::Device::gpu));
  }
  backend.family = *family;
  return explained(
      explain_on_metal(Q, K, V, options, backend),
      make_arguments(Q, K, V, options, mx::default_stream(mx::Device::cpu)),
      backend);
}

} // namespace tessera
