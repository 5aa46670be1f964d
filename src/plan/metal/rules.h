#pragma once

#include <optional>

#include "plan/metal/plan.h"

namespace tessera::metal {

// Legality, apart from preference: why `plan` cannot run on a GPU of `family`,
// or nothing where it can.
// Beside `registers`, which a compiler makes do with, if slower.
std::optional<Refusal> why_not_but_for_registers(
    const Plan& plan, Family family);

std::optional<Refusal> why_not(const Plan& plan, Family family);

} // namespace tessera::metal
