#pragma once

#include <optional>
#include <vector>

#include "model/config/fields.h"
#include "tessera/model.h"

namespace tessera {

// ModelConfig::windows, from sliding_window and, where the architecture reads
// them, use_sliding_window, max_window_layers and layer_types. What is absent
// means what it means to transformers. InputError where they ask for a window
// that the architecture does not have.
std::vector<std::optional<int>> read_windows(
    ConfigFields& fields, const ModelConfig& config);

} // namespace tessera
