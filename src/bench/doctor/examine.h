#pragma once

#include "tessera/doctor.h"

namespace tessera::bench {

// What is examined.
std::vector<AttentionCase> doctor_cases(bool quick);

// By the kernels of the stream's device, proven or not.
ExaminedCase examine(
    const AttentionCase& c, const std::string& backend, mx::Stream stream);

} // namespace tessera::bench
