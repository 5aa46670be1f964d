#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "model/safetensors.h"

namespace tessera {

// Which file holds a tensor, and what its header says of it.
struct LocatedTensor {
  std::filesystem::path file;
  TensorInfo info;
};

using TensorLocations = std::map<std::string, LocatedTensor>;

// Of each tensor of a Hugging Face folder: those of model.safetensors, or of
// the shards that model.safetensors.index.json names. Headers are read, no
// weights. InputError that names the file where one is missing or malformed, or
// a tensor stands in two of them.
TensorLocations locate_tensors(const std::filesystem::path& folder);

} // namespace tessera
