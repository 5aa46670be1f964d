#pragma once

#include <map>
#include <string>
#include <vector>

#include "tessera/lora.h"

namespace tessera {

// The name and shape of each array of an adapter.
std::map<std::string, mx::Shape> lora_shapes(
    const ModelConfig& model, const LoraConfig& lora);

// The modules that are adapted in each layer, by their names within it
// ("self_attn.q_proj"), and the first such layer; the others follow it.
std::vector<std::string> layer_keys(
    const ModelConfig& model, const LoraConfig& lora);
int first_layer(const ModelConfig& model, const LoraConfig& lora);

} // namespace tessera
