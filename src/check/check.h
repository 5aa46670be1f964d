#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "check/differentiate.h"

namespace tessera::cases {

// What is to be compared, for a cotangent `dO`; nothing where it is not to be.
using ValuesFor = std::function<std::optional<Values>(const mx::array& dO)>;

struct ResultError {
  std::string name; // "O", "L", "dQ", "dK", "dV", "dbias", "dslopes", "dsinks"
  // The largest difference from plain float64 formulas, in units of the
  // tolerance: twice the largest error that the same formulas make in the
  // case's dtype, plus two ulp of the largest value. At most 1 is right.
  double error = 0;
};

// Compares each result. As many queries, spread over the length, as keep the
// formulas' scores small; the others have zero cotangents then. Empty where
// there is nothing to compare.
std::vector<ResultError> errors_of(
    const Arrays& arrays, const ValuesFor& values, bool backward);

// The largest; 0 where there is none.
double worst(const std::vector<ResultError>& errors);

// Those that are not right, in words; "" where all are.
std::string wrong(const std::vector<ResultError>& errors);

} // namespace tessera::cases
