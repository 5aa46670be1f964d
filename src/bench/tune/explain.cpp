#include "bench/tune/explain.h"

#include "api/node/cpu_call.h"
#include "backend/cpu/launch.h"
#include "bench/arrays.h"
#include "bench/case.h"

namespace tessera {

namespace {

PassExplanation explain_pass(const AttentionCase& c, Pass pass) {
  PassExplanation one;
  one.problem = bench::problem_of(c, pass);
  const auto planned = plan_on_cpu(one.problem, c.block_size);
  one.planned = planned.planned;
  one.tuned = planned.tuned.has_value();
  one.not_tuned = planned.not_tuned;
  if (const auto* plan = std::get_if<Plan>(&one.planned)) {
    cpu::Task task;
    task.problem = one.problem;
    task.plan = *plan;
    one.workspace_bytes = cpu::workspace_bytes(task);
  }
  return one;
}

} // namespace

Explanation explain(const AttentionCase& c) {
  const auto arrays = bench::empty_arrays(c);
  Explanation all;
  all.choice = explain_attention(arrays.Q, arrays.K, arrays.V, arrays.options);
  if (all.choice.name == "mlx") {
    return all;
  }
  all.passes.push_back(explain_pass(c, Pass::forward));
  all.passes.push_back(explain_pass(c, Pass::backward));
  if (!c.bias.empty()) {
    all.passes.push_back(explain_pass(c, Pass::dbias));
  }
  return all;
}

} // namespace tessera
