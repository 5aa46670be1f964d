#pragma once

#include <variant>
#include <vector>

#include "backend/metal/call.h"
#include "backend/metal/launch.h"

namespace tessera::metal {

// Steps in order, or why there are none.
using Scheduled = std::variant<std::vector<Step>, Refusal>;

// All gradients that a call has.
std::vector<Operand> gradients_of(const Problem& problem);

// The kernels that compute O and L, in order.
std::vector<Pass> forward_passes(const Call& call);

// Those that compute these of dQ, dK, dV, dbias, dslopes and dsinks.
std::vector<Pass> backward_passes(const std::vector<Operand>& wanted);

// What computes O and L, in order.
Scheduled forward_steps(const Call& call);

// What computes the gradients that are wanted.
Scheduled backward_steps(const Call& call, const std::vector<Operand>& wanted);

// The launches of one kernel, with `combine` behind a forward of few queries;
// its operands are taken as given.
Scheduled steps_of(const Call& call, Pass pass);

} // namespace tessera::metal
