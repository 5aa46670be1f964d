#pragma once

#include <array>
#include <string_view>

#include "tessera/model.h"

namespace tessera {

// How config.json names an architecture.
struct ArchitectureName {
  Architecture value;
  std::string_view model_type;
  std::string_view class_name;
};

inline constexpr auto architectures = std::to_array<ArchitectureName>({
    {Architecture::llama, "llama", "LlamaForCausalLM"},
    {Architecture::mistral, "mistral", "MistralForCausalLM"},
    {Architecture::qwen2, "qwen2", "Qwen2ForCausalLM"},
    {Architecture::qwen3, "qwen3", "Qwen3ForCausalLM"},
});

} // namespace tessera
