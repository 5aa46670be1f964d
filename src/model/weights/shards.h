#pragma once

#include <cstdint>
#include <filesystem>

#include "tessera/model.h"

namespace tessera {

// Writes the tensors of a Hugging Face folder: model.safetensors, or, where
// that would hold more than `limit` bytes of them, model-00001-of-00003.
// safetensors and so on, and model.safetensors.index.json behind them. A tensor
// beyond the limit has a file of its own. Each file as write_file does.
//
// Format: huggingface_hub, split_state_dict_into_shards.
void write_weights(
    const std::filesystem::path& folder,
    const Parameters& parameters,
    std::int64_t limit = max_shard_bytes);

} // namespace tessera
