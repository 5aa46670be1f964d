#pragma once

#include <vector>

#include "plan/metal/cost.h"

namespace tessera::bench {

// A kernel whose share of the ALU limit someone has measured, in useful
// multiplies and adds.
struct Point {
  metal::Plan plan;
  metal::Cost cost;
  double share = 0;
};

// The overlap that predicts the points' shares best, by the least sum of
// squares; between 1 and 16, to two decimals.
double fit_overlap(const std::vector<Point>& points, metal::Machine machine);

// For each point, what it is predicted to have where the others alone are
// fitted.
std::vector<double> leave_one_out(
    const std::vector<Point>& points, const metal::Machine& machine);

} // namespace tessera::bench
