#pragma once

#include <optional>

#include "plan/metal/plan.h"

namespace tessera::metal {

// Legality, apart from preference: why `plan` cannot run on a GPU of `family`,
// or nothing where it can.
std::optional<Refusal> why_not(const Plan& plan, Family family);

// The same but for registers: where a plan claims more than there are, the
// GPU's compiler keeps some in memory, and the kernel is slower.
std::optional<Refusal> why_not_but_for_registers(
    const Plan& plan, Family family);

} // namespace tessera::metal
