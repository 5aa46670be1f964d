#pragma once

#include <mlx/mlx.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/attention.h"

namespace tessera {

enum class Architecture { llama, mistral, qwen2, qwen3 };

// As config.json's model_type names it.
std::string_view model_type(Architecture architecture);

// How rotary positions are stretched beyond the trained length.
struct RopeScaling {
  enum class Kind { none, linear, llama3 };
  Kind kind = Kind::none;
  float factor = 1.0f;
  // llama3 only.
  float low_freq_factor = 1.0f;
  float high_freq_factor = 4.0f;
  int original_max_position_embeddings = 8192;

  bool operator==(const RopeScaling&) const = default;
};

// What config.json says of the maths, by Hugging Face's names.
struct ModelConfig {
  Architecture architecture = Architecture::llama;
  int hidden_size = 0;
  int num_hidden_layers = 0;
  int intermediate_size = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;
  int vocab_size = 0;
  int max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  float rope_theta = 10000.0f;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = false;
  bool qkv_bias = false; // Qwen2 always, Llama and Qwen3 by attention_bias
  bool o_bias = false;   // Llama and Qwen3 by attention_bias
  bool mlp_bias = false;
  // RMSNorm over each head of Q and K, before the rotation: Qwen3.
  bool qk_norm = false;
  // How many keys a query of each layer sees, its own the last of them; absent:
  // all. Empty: all, in every layer.
  std::vector<std::optional<int>> windows;
  float initializer_range = 0.02f;
  std::optional<std::int32_t> bos_token_id;
  std::vector<std::int32_t> eos_token_ids;

  // The same of one layer, as attention takes it; absent where all of so many
  // keys are in it.
  std::optional<Window> window(int layer, int keys) const;

  bool operator==(const ModelConfig&) const = default;
};

// Reads config.json (or text in its form; `source` names it in errors). Both
// spellings are read: rope_theta / rope_scaling / torch_dtype, and
// transformers 5's rope_parameters / dtype. An unknown architecture, or a field
// that changes the maths and is not supported, is an InputError that names it.
ModelConfig parse_config(std::string_view json, std::string_view source);
ModelConfig read_config(const std::filesystem::path& file);

// config.json for `config` with weights of `dtype`, in the older spelling,
// which every version of transformers reads.
std::string config_json(const ModelConfig& config, mx::Dtype dtype);

// Every array of a model by Hugging Face's name ("model.layers.0.self_attn.
// q_proj.weight"), beside it what LoRA adds: "<module>.lora_a" [in, rank] and
// "<module>.lora_b" [rank, out], mlx-lm's names and shapes.
using Parameters = std::map<std::string, mx::array>;

// The linear modules of a layer, the ones that LoRA may join, by the part of
// their name behind "model.layers.<i>.".
inline constexpr std::array<std::string_view, 7> linear_names = {
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
};

// The name and shape of each parameter that a config asks for.
std::map<std::string, mx::Shape> parameter_shapes(const ModelConfig& config);

// Reads model.safetensors, or the shards of model.safetensors.index.json,
// converted to `dtype`. A file that is missing or truncated, a tensor that is
// missing, unknown, of another shape or dtype, or not finite in `dtype`, is an
// InputError that names it.
// Left out: rotary_emb.inv_freq of old checkpoints, and an lm_head.weight
// beside tied embeddings (refused where it differs from them).
Parameters load_parameters(
    const std::filesystem::path& folder,
    const ModelConfig& config,
    mx::Dtype dtype);

// The most bytes of tensors that one file of a Hugging Face folder holds; what
// has more is written as shards with a model.safetensors.index.json.
inline constexpr std::int64_t max_shard_bytes = 5'000'000'000;

// Writes model.safetensors, converted to `dtype`, and config.json into `folder`
// (made where it is missing): what load_parameters, read_config and
// transformers read. Each file appears whole or not at all. The parameters must
// be those of the config, LoRA merged. InputError where the folder cannot be
// written.
void save_parameters(
    const std::filesystem::path& folder,
    const ModelConfig& config,
    const Parameters& parameters,
    mx::Dtype dtype);

// Fresh parameters: normal(0, initializer_range) for matrices, 1 for norms, 0
// for biases. The same seed gives the same bits.
Parameters init_parameters(
    const ModelConfig& config, mx::Dtype dtype, std::uint64_t seed);

// Keys and values seen so far, a pair for each layer.
class KvCache {
 public:
  explicit KvCache(int num_layers);
  int length() const;
  // Appends K and V [B, Hkv, N, D] of a layer; returns all that it now holds.
  std::pair<mx::array, mx::array> append(
      int layer, const mx::array& K, const mx::array& V);

 private:
  struct Layer {
    std::optional<mx::array> K;
    std::optional<mx::array> V;
    int length = 0;
  };
  std::vector<Layer> layers_;
};

struct ForwardOptions {
  // scale, causal and window are the model's to set.
  AttentionOptions attention;
  float lora_scale = 1.0f; // factor on x A B
  // On x before A, a draw for each module; only where dropout_seed is set.
  float lora_dropout = 0.0f;
  std::optional<std::uint64_t> dropout_seed;
  // Of each token, [B, N] int32; absent: 0, 1, ... behind what the cache holds.
  // Packed rows begin anew with each document, and have attention.segments.
  std::optional<mx::array> positions;
  // The first so many layers keep only their input for the backward pass and
  // are computed again there, to the same bits.
  int recomputed_layers = 0;
};

// Token ids [B, N] int32 -> the last hidden state after the final norm
// [B, N, hidden], and logits [B, N, vocab] from such a state. Pure functions of
// their arguments: differentiate them by any parameter.
mx::array hidden_states(
    const ModelConfig& config,
    const Parameters& parameters,
    const mx::array& tokens,
    const ForwardOptions& options = {},
    KvCache* cache = nullptr);

// The parameter that makes logits of hidden states: lm_head.weight, or the
// embeddings where they are tied.
std::string_view head_name(const ModelConfig& config);

mx::array logits_of(
    const ModelConfig& config,
    const Parameters& parameters,
    const mx::array& hidden);

} // namespace tessera
