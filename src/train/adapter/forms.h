#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tessera/lora.h"

// adapter_config.json and the arrays, as mlx-lm and as PEFT have them.
namespace tessera::mlx_lm {

inline constexpr auto weights_file = "adapters.safetensors";

// InputError that names what is missing, and a kind of adapter that is no LoRA.
LoraConfig read_config(
    const nlohmann::json& json,
    const ModelConfig& model,
    const std::string& file);
nlohmann::json config_json(const ModelConfig& model, const LoraConfig& lora);

} // namespace tessera::mlx_lm

namespace tessera::peft {

inline constexpr auto weights_file = "adapter_model.safetensors";

// InputError that names each field that asks for more than LoRA on linear
// modules: DoRA, biases, ranks of their own, ...
LoraConfig read_config(
    const nlohmann::json& json,
    const ModelConfig& model,
    const std::string& file);
nlohmann::json config_json(
    const ModelConfig& model,
    const LoraConfig& lora,
    const std::string& base_model);

// "base_model.model.<module>.lora_A.weight" [rank, in] is "<module>.lora_a"
// [in, rank], lora_B alike. Other names stay as they are.
Parameters from_peft(const Parameters& arrays);
Parameters to_peft(const Parameters& arrays);

} // namespace tessera::peft
