#pragma once

#include <string>

namespace tessera {

// What MLX tells of the GPU by this name ("device_name", "architecture"); ""
// where there is no GPU, or it does not tell.
std::string gpu_fact(const char* name);

} // namespace tessera
