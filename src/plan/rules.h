#pragma once

#include <optional>

#include "plan/plan.h"

namespace tessera {

// Legality, apart from preference: why `plan` cannot compute `problem` on
// `device`, or nothing where it can.
std::optional<Refusal> why_not(
    const Problem& problem, const Plan& plan, const Device& device);

// The most panels of queries that a block of rows may hold.
constexpr int most_panels = 64;

// The most memory that the buffers of one thread may take.
constexpr std::size_t thread_budget = std::size_t{4} << 20;

} // namespace tessera
