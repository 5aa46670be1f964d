#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plan/metal/plan.h"

namespace tessera::bench {

// What is worth telling of a kernel's plan, each with its value as text.
std::vector<std::pair<std::string, std::string>> facts_of(
    const metal::Plan& plan);

} // namespace tessera::bench
