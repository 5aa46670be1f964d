#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tessera/model.h"

namespace tessera {

// Low-rank adaptation: a linear module's output gains factor() * (x A) B, with
// A [in, rank] and B [rank, out]. Hu et al., "LoRA" (2021), section 4.1.
struct LoraConfig {
  int rank = 8;
  double alpha = 16.0;
  // mlx-lm's spelling of the factor; where set, alpha is not read.
  std::optional<double> scale = std::nullopt;
  // Probability that an element of x is left out on its way into A.
  double dropout = 0.0;
  // The modules that are adapted, by the end of their name: "q_proj" or
  // "self_attn.q_proj" within a layer. {"all-linear"} stands for each linear
  // module of a layer.
  std::vector<std::string> keys = {"q_proj", "k_proj", "v_proj", "o_proj"};
  // Only the last so many layers; -1 for all.
  int num_layers = -1;

  // What multiplies x A B: `scale` where set, else alpha / rank.
  float factor() const;

  bool operator==(const LoraConfig&) const = default;
};

// The modules that a config adapts ("model.layers.0.self_attn.q_proj"), in the
// order of layers. A key that names no module, or a number out of its range, is
// an InputError.
std::vector<std::string> lora_modules(
    const ModelConfig& model, const LoraConfig& lora);

// "<module>.lora_a" uniform in +-1/sqrt(in) and "<module>.lora_b" 0, float32:
// the adapted model starts as the base. The bits depend on the seed and the
// module's name alone.
Parameters init_lora(
    const ModelConfig& model, const LoraConfig& lora, std::uint64_t seed);

// The arrays of an adapter's file, mlx-lm's adapters.safetensors or PEFT's
// adapter_model.safetensors, float32. A parameter that is missing, unknown or
// of another shape than the two configs ask for is an InputError that names it.
Parameters read_lora(
    const std::filesystem::path& file,
    const ModelConfig& model,
    const LoraConfig& lora);

// The model that an adapter was trained on.
struct BaseModel {
  std::string name;        // its folder, as it was given; empty: not known
  std::string fingerprint; // 32 hexadecimal digits; empty: not known

  bool operator==(const BaseModel&) const = default;
};

struct Adapter {
  LoraConfig config;
  Parameters parameters;
  BaseModel base = {};
};

// A fingerprint of what a Hugging Face folder computes: of its config as far as
// it changes the maths, and of the names, shapes, dtypes and a sample of the
// bytes of its tensors, however they lie in files.
BaseModel base_model(const std::filesystem::path& folder);

// InputError that names both where an adapter, which was read from `from`, says
// that it was trained on another model than the one given. What mlx-lm and PEFT
// write says nothing, and passes.
void check_base(
    const BaseModel& trained_on,
    const BaseModel& given,
    const std::filesystem::path& from);

// An adapter's file, or a folder with one, to go on from: a scale in the
// adapter_config.json beside it must be that of `lora`.
Adapter start_from_adapter(
    const std::filesystem::path& path,
    const ModelConfig& model,
    const LoraConfig& lora);

// An adapter in mlx-lm's form (adapters.safetensors) or PEFT's
// (adapter_model.safetensors), as the adapter_config.json beside it says. A
// kind of adapter that is not LoRA, and what PEFT can ask for beyond it, is an
// InputError that names it.
Adapter load_adapter(
    const std::filesystem::path& folder, const ModelConfig& model);

// Each file is written whole under another name and then renamed. mlx-lm's form
// is what checkpoints hold. The base, where it is known, stands in the metadata
// of the weights' file, and its name in PEFT's config, for AutoPeftModel.
void save_adapter(
    const std::filesystem::path& folder,
    const ModelConfig& model,
    const Adapter& adapter);
void save_peft_adapter(
    const std::filesystem::path& folder,
    const ModelConfig& model,
    const Adapter& adapter);

} // namespace tessera
