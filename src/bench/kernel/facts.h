#pragma once

#include <string>
#include <vector>

#include "plan/metal/plan.h"
#include "tessera/kernel.h"

namespace tessera::bench {

// What is worth telling of a kernel's plan.
std::vector<PlanFact> facts_of(const metal::Plan& plan);

// The value of a fact: "32", "yes", "registers".
std::string text_of(const PlanFact& fact);

} // namespace tessera::bench
