#pragma once

#include <string>

namespace tessera::metal {

// Adds to each basic block of unoptimised LLVM assembly what it computes in
// floating point, so that counts are of the text and not of an optimiser. They
// end in the symbol `tessera_float_counts`: uint64[4], adds, multiplies, fused,
// divisions.
std::string count_floats(const std::string& assembly);

} // namespace tessera::metal
