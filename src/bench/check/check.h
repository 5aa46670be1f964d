#pragma once

#include <optional>

#include "bench/contender.h"

namespace tessera::bench {

// The largest difference of a contender's results from plain float64 formulas,
// in units of the tolerance: twice the largest error that the same formulas
// make in the case's dtype, plus two ulp of the largest value. Compared are as
// many queries, spread over the length, as keep the formulas' scores small;
// the others have zero cotangents then. Absent where there is nothing to
// compare.
std::optional<double> error_of(
    const Arrays& arrays, Contender& contender, bool backward);

} // namespace tessera::bench
