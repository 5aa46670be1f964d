#pragma once

#include <vector>

#include "plan/metal/device.h"
#include "plan/metal/plan.h"

namespace tessera::bench {

// A row of the block sizes of MFA's forward pass in float16 (metal-flash-
// attention, AttentionDescriptor+Parameters.swift) as a plan of ours, and the
// share of the ALU limit that its README gives for it.
struct Published {
  metal::Family family{}; // m1 for Apple 7 and 8, m3 for Apple 9
  metal::Plan plan;
  double share = 0; // as MFA counts
};

std::vector<Published> published();

// MFA counts 5 instructions a score as useful beside the 2 * D of the products;
// what a share of the products alone is to be multiplied by.
double as_mfa_counts(const metal::Plan& plan);

} // namespace tessera::bench
