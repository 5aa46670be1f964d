#include "backend/metal/call.h"

namespace tessera::metal {

std::string letter(Operand operand) {
  return operand == Operand::E ? "D" : std::string(name(operand));
}

Planned plan_for(const Call& call, Pass pass) {
  return call.block_size != 0
      ? make_plan(call.problem, pass, call.family, call.block_size)
      : tuned_plan(call.problem, pass, call.family, call.tiles);
}

} // namespace tessera::metal
