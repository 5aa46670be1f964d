#pragma once

#include <optional>

#include "plan/metal/plan.h"

namespace tessera::metal {

// Legality, apart from preference: why `plan` cannot run on a GPU of `family`,
// or nothing where it can.
std::optional<Refusal> why_not(const Plan& plan, Family family);

} // namespace tessera::metal
