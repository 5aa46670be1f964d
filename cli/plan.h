#pragma once

#include <string>

#include "tessera/finetune.h"

namespace tessera::cli {

// What `tessera plan --json` prints.
std::string plan_json(const MemoryPlan& plan);

} // namespace tessera::cli
