#pragma once

#include <optional>
#include <string>

#include "tessera/model.h"

namespace tessera {

// Whether no element of a float32, float16 or bfloat16 array is NaN or
// infinite. Evaluates it.
bool is_finite(const mx::array& array);

// The first by name that is not; none where all are.
std::optional<std::string> first_not_finite(const Parameters& parameters);

} // namespace tessera
