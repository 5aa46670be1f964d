#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "bench/contender.h"
#include "tessera/bench.h"

namespace tessera::bench {

// MLX's op, ours, and whatever is timed beside.
using Contenders = std::vector<std::unique_ptr<Contender>>;

// Compares each contender's values with plain formulas, takes its memory, then
// times them all, in turn in each round. What one of them throws is its cell of
// the table; ours has failed then, and where its values are wrong, and is not
// timed. Nothing where it was stopped.
std::optional<CaseResult> measure(
    const Arrays& arrays,
    Contenders& contenders,
    const BenchmarkOptions& options,
    const std::function<bool()>& should_stop);

} // namespace tessera::bench
