#include "bench/tune/explain.h"

#include "api/arguments.h"
#include "api/node/cpu_call.h"
#include "backend/cpu/launch.h"
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

} // namespace

Explanation explain(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::StreamOrDevice s) {
  Explanation all;
  all.choice = explain_attention(Q, K, V, options, s);
  if (all.choice.name == "mlx") {
    return all;
  }
  auto problem = make_arguments(Q, K, V, options, mx::to_stream(s)).problem;
  for (const Pass pass : {Pass::forward, Pass::backward, Pass::dbias}) {
    if (pass != Pass::dbias || problem.features.bias) {
      problem.pass = pass;
      all.passes.push_back(explain_pass(problem, options.block_size));
    }
  }
  return all;
}

Explanation explain(const AttentionCase& c) {
  const auto arrays = cases::empty_arrays(c);
  return explain(arrays.Q, arrays.K, arrays.V, arrays.options);
}

} // namespace tessera
