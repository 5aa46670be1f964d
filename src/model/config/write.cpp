#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/config/architecture.h"
#include "tessera/error.h"
#include "tessera/model.h"

namespace tessera {

namespace {

// The double that a reader would write: 1e-05, not 9.99999974737875e-06.
double decimal(float value) {
  return std::stod(fmt::format("{}", value));
}

std::string_view dtype_name(mx::Dtype dtype) {
  if (dtype == mx::float32) {
    return "float32";
  }
  if (dtype == mx::float16) {
    return "float16";
  }
  if (dtype == mx::bfloat16) {
    return "bfloat16";
  }
  fail("config", "expected a floating dtype of 16 or 32 bits");
}

nlohmann::json scaling_json(const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::none:
      return nullptr;
    case RopeScaling::Kind::linear:
      return {{"rope_type", "linear"}, {"factor", decimal(scaling.factor)}};
    case RopeScaling::Kind::llama3:
      return {
          {"rope_type", "llama3"},
          {"factor", decimal(scaling.factor)},
          {"low_freq_factor", decimal(scaling.low_freq_factor)},
          {"high_freq_factor", decimal(scaling.high_freq_factor)},
          {"original_max_position_embeddings",
           scaling.original_max_position_embeddings}};
  }
  fail("config", "unknown kind of rope scaling");
}

// The fields that only some architectures have.
void add_biases(nlohmann::ordered_json& json, const ModelConfig& config) {
  const bool llama = config.architecture == Architecture::llama;
  if (llama || config.architecture == Architecture::qwen3) {
    json["attention_bias"] = config.qkv_bias;
  }
  if (llama) {
    json["mlp_bias"] = config.mlp_bias;
  }
}

void add_windows(nlohmann::ordered_json& json, const ModelConfig& config) {
  if (config.architecture == Architecture::llama) {
    return;
  }
  json["sliding_window"] = nullptr;
  std::vector<std::string> types;
  for (const auto& window : config.windows) {
    types.emplace_back(window ? "sliding_attention" : "full_attention");
    if (window) {
      json["sliding_window"] = *window;
    }
  }
  if (config.architecture != Architecture::mistral) {
    json["use_sliding_window"] = !types.empty();
    if (!types.empty()) {
      json["layer_types"] = types;
    }
  }
}

const ArchitectureName& names_of(Architecture architecture) {
  return *std::ranges::find(
      architectures, architecture, &ArchitectureName::value);
}

} // namespace

std::string_view model_type(Architecture architecture) {
  return names_of(architecture).model_type;
}

std::string config_json(const ModelConfig& config, mx::Dtype dtype) {
  const auto& names = names_of(config.architecture);
  nlohmann::ordered_json json = {
      {"architectures", {names.class_name}},
      {"model_type", names.model_type},
      {"hidden_size", config.hidden_size},
      {"num_hidden_layers", config.num_hidden_layers},
      {"intermediate_size", config.intermediate_size},
      {"num_attention_heads", config.num_attention_heads},
      {"num_key_value_heads", config.num_key_value_heads},
      {"head_dim", config.head_dim},
      {"vocab_size", config.vocab_size},
      {"max_position_embeddings", config.max_position_embeddings},
      {"hidden_act", "silu"},
      {"rms_norm_eps", decimal(config.rms_norm_eps)},
      {"rope_theta", decimal(config.rope_theta)},
      {"rope_scaling", scaling_json(config.rope_scaling)},
      {"tie_word_embeddings", config.tie_word_embeddings},
      {"initializer_range", decimal(config.initializer_range)},
      {"attention_dropout", 0.0},
      {"bos_token_id", nullptr},
      {"eos_token_id", nullptr},
      {"torch_dtype", dtype_name(dtype)},
  };
  add_biases(json, config);
  add_windows(json, config);
  if (config.bos_token_id) {
    json["bos_token_id"] = *config.bos_token_id;
  }
  if (!config.eos_token_ids.empty()) {
    json["eos_token_id"] = config.eos_token_ids;
  }
  return json.dump(2) + "\n";
}

} // namespace tessera
