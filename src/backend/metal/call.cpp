#include "backend/metal/call.h"

namespace tessera::metal {

std::string letter(Operand operand) {
  return operand == Operand::E ? "D" : std::string(name(operand));
}

Planned plan_for(const Call& call, Pass pass) {
  auto planned = call.block_size != 0
      ? make_plan(call.problem, pass, call.family, call.block_size)
      : tuned_plan(call.problem, pass, call.family, call.tiles);
  auto* plan = std::get_if<Plan>(&planned);
  if (plan != nullptr && plan->runs) {
    plan->runs =
        runs_of(call.problem, *plan, call.family, call.seconds).count > 1;
  }
  return planned;
}

bool takes_runs(const Call& call) {
  const auto planned = plan_for(call, Pass::forward);
  const auto* plan = std::get_if<Plan>(&planned);
  return plan != nullptr && plan->runs;
}

} // namespace tessera::metal
