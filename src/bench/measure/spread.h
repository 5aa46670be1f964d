#pragma once

#include <vector>

#include "tessera/bench.h"

namespace tessera::bench {

// At least one value.
Spread spread_of(std::vector<double> values);

} // namespace tessera::bench
