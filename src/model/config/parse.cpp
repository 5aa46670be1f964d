#include <algorithm>
#include <array>

#include "model/config/architecture.h"
#include "model/config/fields.h"
#include "model/config/windows.h"
#include "model/file.h"
#include "model/json.h"
#include "tessera/error.h"
#include "tessera/model.h"

namespace tessera {

namespace {

// Says nothing of the maths of a language model's forward and backward pass:
// bookkeeping, hints to a generator, and what older versions of transformers
// wrote of their base class.
constexpr auto harmless = std::to_array<std::string_view>({
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "is_decoder",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "max_length",
    "max_sequence_length",
    "max_window_layers",
    "min_length",
    "model_max_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
});

// Changes the maths at any other value than the one given here (JSON).
// Dropout is among them: it is part of the loss that one trains.
struct Fixed {
  std::string_view name;
  std::string_view value;
};

constexpr auto fixed = std::to_array<Fixed>({
    {"add_cross_attention", "false"},
    {"attention_dropout", "0"},
    {"attn_pdrop", "0"},
    {"chunk_size_feed_forward", "0"},
    {"embd_pdrop", "0"},
    {"hidden_act", "\"silu\""},
    {"hidden_dropout", "0"},
    {"is_encoder_decoder", "false"},
    {"partial_rotary_factor", "1"},
    {"pretraining_tp", "1"},
    {"pruned_heads", "{}"},
    {"resid_pdrop", "0"},
    {"residual_dropout", "0"},
    {"tie_encoder_decoder", "false"},
    {"use_mrope", "false"},
    {"use_qk_norm", "false"},
});

// Bounds that no model comes near, so that a product of two fits 64 bits and
// one of them an int.
constexpr std::int64_t max_size = std::int64_t(1) << 24;
constexpr std::int64_t max_layers = 4096;

Architecture read_architecture(ConfigFields& fields) {
  const auto model_type = fields.text("model_type");
  const auto row = std::ranges::find_if(
      architectures, [&](const auto& a) { return a.model_type == model_type; });
  if (row == architectures.end()) {
    fields.refuse(
        "model_type", "\"llama\", \"mistral\", \"qwen2\" or \"qwen3\"");
  }
  const auto& classes = fields.get("architectures");
  const auto expected = nlohmann::json::array({row->class_name});
  if (!classes.is_null() && classes != expected) {
    fields.refuse("architectures", expected.dump());
  }
  return row->value;
}

int default_positions(Architecture architecture) {
  switch (architecture) {
    case Architecture::llama:
      return 2048;
    case Architecture::mistral:
      return 131072;
    case Architecture::qwen2:
    case Architecture::qwen3:
      return 32768;
  }
  fail("config", "unknown architecture");
}

void read_head_dim(ConfigFields& fields, ModelConfig& config) {
  const int heads = config.num_attention_heads;
  int by_default = config.hidden_size / heads;
  if (config.architecture == Architecture::qwen3) {
    by_default = 128; // whatever hidden_size is
  } else if (!fields.has("head_dim") && config.hidden_size % heads != 0) {
    fields.refuse(
        "num_attention_heads",
        fmt::format("a divisor of hidden_size ({})", config.hidden_size));
  }
  config.head_dim = fields.size("head_dim", max_size / heads, by_default);
  if (config.head_dim % 2 != 0) {
    fields.refuse("head_dim", fmt::format("even ({} is not)", config.head_dim));
  }
}

void read_sizes(ConfigFields& fields, ModelConfig& config) {
  config.hidden_size = fields.size("hidden_size", max_size);
  config.num_hidden_layers = fields.size("num_hidden_layers", max_layers);
  config.intermediate_size = fields.size("intermediate_size", max_size);
  config.vocab_size = fields.size("vocab_size", max_size);
  const bool llama = config.architecture == Architecture::llama;
  config.max_position_embeddings = fields.size(
      "max_position_embeddings",
      INT32_MAX,
      default_positions(config.architecture));

  const int heads = fields.size("num_attention_heads", config.hidden_size);
  config.num_attention_heads = heads;
  // transformers takes 8 or 32 for the others where they do not say: better to
  // be told.
  config.num_key_value_heads = fields.size(
      "num_key_value_heads",
      heads,
      llama ? std::optional(heads) : std::nullopt);
  if (heads % config.num_key_value_heads != 0) {
    fields.refuse(
        "num_key_value_heads",
        fmt::format("a divisor of num_attention_heads ({})", heads));
  }
  read_head_dim(fields, config);
}

void read_biases(ConfigFields& fields, ModelConfig& config) {
  if (config.architecture == Architecture::qwen2) {
    config.qkv_bias = true;
    return;
  }
  config.qkv_bias = fields.boolean("attention_bias").value_or(false);
  config.o_bias = config.qkv_bias;
  config.mlp_bias = fields.boolean("mlp_bias").value_or(false);
  // transformers reads neither of a Mistral, and no mlp_bias of a Qwen3.
  if (config.qkv_bias && config.architecture == Architecture::mistral) {
    fields.refuse("attention_bias", "false");
  }
  if (config.mlp_bias && config.architecture != Architecture::llama) {
    fields.refuse("mlp_bias", "false");
  }
}

RopeScaling read_scaling(ConfigFields& fields, int max_position_embeddings) {
  using Kind = RopeScaling::Kind;
  const auto* key = fields.has("rope_type") ? "rope_type" : "type";
  const auto kind = fields.text(key).value_or("default");
  // What older files say a second time.
  if (fields.text("type").value_or(kind) != kind) {
    fields.refuse("type", "rope_type");
  }
  RopeScaling scaling;
  if (kind == "default") {
    return scaling;
  }
  if (kind != "linear" && kind != "llama3") {
    fields.refuse(key, "\"default\", \"linear\" or \"llama3\"");
  }
  const auto required = [&](std::string_view name, double low) {
    return fields.real(name, low, 1e9, -1.0);
  };
  scaling.kind = kind == "linear" ? Kind::linear : Kind::llama3;
  scaling.factor = required("factor", 1.0);
  if (scaling.kind == Kind::llama3) {
    scaling.low_freq_factor = required("low_freq_factor", 1e-9);
    scaling.high_freq_factor = required("high_freq_factor", 1e-9);
    scaling.original_max_position_embeddings = fields.size(
        "original_max_position_embeddings", INT32_MAX, max_position_embeddings);
    if (scaling.high_freq_factor <= scaling.low_freq_factor) {
      fields.refuse("high_freq_factor", "more than low_freq_factor");
    }
  }
  return scaling;
}

// One dictionary, `rope_parameters`, in transformers 5; `rope_scaling` with
// rope_theta beside it before.
void read_rope(
    ConfigFields& fields, ModelConfig& config, std::string_view source) {
  constexpr double default_theta = 10000.0;
  constexpr double max_theta = 1e18;
  const double theta = fields.real("rope_theta", 1.0, max_theta, default_theta);
  config.rope_theta = float(theta);

  const auto* key =
      fields.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!fields.has(key)) {
    return;
  }
  if (!fields.get(key).is_object()) {
    fields.refuse(key, "an object");
  }
  ConfigFields rope(fields.get(key), source, std::string(key) + ".");
  config.rope_theta = rope.real("rope_theta", 1.0, max_theta, theta);
  config.rope_scaling = read_scaling(rope, config.max_position_embeddings);
  if (rope.number("partial_rotary_factor").value_or(1.0) != 1.0) {
    rope.refuse("partial_rotary_factor", "1");
  }
  rope.check_unread({});
}

std::int32_t read_token(
    ConfigFields& fields, std::string_view name, const nlohmann::json& value) {
  if (!value.is_number_integer() || value < 0 || value > INT32_MAX) {
    fields.refuse(name, "a token id");
  }
  return value.get<std::int32_t>();
}

void read_tokens(ConfigFields& fields, ModelConfig& config) {
  const auto& bos = fields.get("bos_token_id");
  if (!bos.is_null()) {
    config.bos_token_id = read_token(fields, "bos_token_id", bos);
  }
  const auto& eos = fields.get("eos_token_id");
  if (eos.is_array()) {
    for (const auto& id : eos) {
      config.eos_token_ids.push_back(read_token(fields, "eos_token_id", id));
    }
  } else if (!eos.is_null()) {
    config.eos_token_ids.push_back(read_token(fields, "eos_token_id", eos));
  }
}

void check_fixed(ConfigFields& fields) {
  for (const auto& [name, value] : fixed) {
    const auto& got = fields.get(name);
    if (!got.is_null() && got != nlohmann::json::parse(value)) {
      fields.refuse(name, value);
    }
  }
}

} // namespace

ModelConfig parse_config(std::string_view json, std::string_view source) {
  const auto object = parse_object(json, source, "config");
  ConfigFields fields(object, source);
  ModelConfig config;
  config.architecture = read_architecture(fields);
  read_sizes(fields, config);
  read_biases(fields, config);
  config.qk_norm = config.architecture == Architecture::qwen3;
  config.windows = read_windows(fields, config);
  read_rope(fields, config, source);
  config.rms_norm_eps = fields.real("rms_norm_eps", 0.0, 1.0, 1e-6);
  config.initializer_range = fields.real("initializer_range", 0.0, 1.0, 0.02);
  config.tie_word_embeddings =
      fields.boolean("tie_word_embeddings").value_or(false);
  read_tokens(fields, config);
  check_fixed(fields);
  fields.check_unread(harmless);
  return config;
}

ModelConfig read_config(const std::filesystem::path& file) {
  return parse_config(read_file(file, "config"), file.string());
}

} // namespace tessera
