#include <gtest/gtest.h>

#include "model/configs.h"
#include "model/expect.h"
#include "tessera/model.h"

namespace tessera {
namespace {

using Json = nlohmann::json;
using Windows = std::vector<std::optional<int>>;

ModelConfig parse(const Json& json) {
  return parse_config(json.dump(), "config.json");
}

// `base` with the fields of `patch`; null counts as absent.
Json with(Json base, const std::string& patch) {
  base.update(Json::parse(patch));
  return base;
}

TEST(Config, ReadsTinyLlama) {
  ModelConfig want;
  want.architecture = Architecture::llama;
  want.hidden_size = 2048;
  want.num_hidden_layers = 22;
  want.intermediate_size = 5632;
  want.num_attention_heads = 32;
  want.num_key_value_heads = 4;
  want.head_dim = 64;
  want.vocab_size = 32000;
  want.max_position_embeddings = 2048;
  want.rms_norm_eps = 1e-5f;
  want.rope_theta = 10000.0f;
  want.bos_token_id = 1;
  want.eos_token_ids = {2};
  EXPECT_EQ(parse(tiny_llama), want);
}

TEST(Config, ReadsLlama2) {
  const auto config = parse(llama_2_7b);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.rope_theta, 10000.0f);
  EXPECT_FALSE(config.qkv_bias);
}

TEST(Config, ReadsLlama3) {
  const auto config = parse(llama_3_2_1b);
  const RopeScaling want{RopeScaling::Kind::llama3, 32.0f, 1.0f, 4.0f, 8192};
  EXPECT_EQ(config.rope_scaling, want);
  EXPECT_EQ(config.rope_theta, 500000.0f);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.eos_token_ids, (std::vector{128001, 128008, 128009}));
}

TEST(Config, ReadsQwen2) {
  const auto config = parse(qwen2_5_half_b);
  EXPECT_EQ(config.architecture, Architecture::qwen2);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.o_bias);
  EXPECT_FALSE(config.mlp_bias);
  EXPECT_TRUE(config.tie_word_embeddings);
}

TEST(Config, ReadsMistral) {
  const auto config = parse(mistral_7b);
  EXPECT_EQ(config.architecture, Architecture::mistral);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_FALSE(config.qkv_bias || config.o_bias || config.qk_norm);
  EXPECT_EQ(config.windows, Windows(32, 4096));
  EXPECT_EQ(config.window(31, 4097)->left, 4095);
  EXPECT_EQ(config.window(31, 4097)->right, 0);
  EXPECT_FALSE(config.window(31, 4096)); // all keys are in it
  EXPECT_EQ(parse(with(mistral_7b, R"({"head_dim": 64})")).head_dim, 64);
}

// null is no window; a file that leaves it out means the default.
TEST(Config, MistralsWindowMayBeNull) {
  auto json = with(mistral_7b, R"({"sliding_window": null})");
  EXPECT_TRUE(parse(json).windows.empty());
  EXPECT_FALSE(parse(json).window(0, 1 << 20));
  json.erase("sliding_window");
  EXPECT_EQ(parse(json).windows, Windows(32, 4096));
}

TEST(Config, ReadsQwen3) {
  const auto config = parse(qwen3_0_6b);
  EXPECT_EQ(config.architecture, Architecture::qwen3);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_TRUE(config.qk_norm && config.windows.empty());
  EXPECT_FALSE(config.qkv_bias || config.o_bias || config.mlp_bias);
  const auto biased = parse(with(qwen3_0_6b, R"({"attention_bias": true})"));
  EXPECT_TRUE(biased.qkv_bias && biased.o_bias);
  // 128 is the default, whatever hidden_size is.
  EXPECT_EQ(parse(with(qwen3_0_6b, R"({"head_dim": null})")).head_dim, 128);
}

TEST(Config, QwensWindowIsOfTheLayersThatSlide) {
  for (const auto& base : {qwen2_5_half_b, qwen3_0_6b}) {
    const auto layers = base["num_hidden_layers"].get<std::size_t>();
    auto json = with(base, R"({"use_sliding_window": true,
        "sliding_window": 256, "max_window_layers": 2})");
    Windows want(layers, 256);
    want[0] = want[1] = std::nullopt;
    EXPECT_EQ(parse(json).windows, want);
    json["max_window_layers"] = layers;
    EXPECT_TRUE(parse(json).windows.empty());
    json["sliding_window"] = nullptr;
    json["max_window_layers"] = 0;
    EXPECT_TRUE(parse(json).windows.empty());
    json["sliding_window"] = 9;
    std::vector<std::string> types(layers, "full_attention");
    types[1] = "sliding_attention";
    json["layer_types"] = types;
    want.assign(layers, std::nullopt);
    want[1] = 9;
    EXPECT_EQ(parse(json).windows, want);
    json["use_sliding_window"] = false;
    expect_rejected([&] { parse(json); }, "layer_types");
    json["use_sliding_window"] = true;
    json["layer_types"][0] = "chunked_attention";
    expect_rejected([&] { parse(json); }, "layer_types");
    json["layer_types"] = {"sliding_attention"};
    expect_rejected([&] { parse(json); }, "layer_types");
  }
}

TEST(Config, EachArchitectureRefusesWhatItDoesNotHave) {
  const auto refused = [](const Json& base, const std::string& patch) {
    const auto field = Json::parse(patch).begin().key();
    expect_rejected([&] { parse(with(base, patch)); }, field);
  };
  refused(mistral_7b, R"({"attention_bias": true})");
  refused(mistral_7b, R"({"mlp_bias": true})");
  refused(mistral_7b, R"({"use_sliding_window": true})");
  refused(mistral_7b, R"({"sliding_window": 0})");
  refused(mistral_7b, R"({"sliding_window": "4096"})");
  refused(mistral_7b, R"({"num_key_value_heads": null})");
  refused(mistral_7b, R"({"layer_types": ["full_attention"]})");
  refused(qwen3_0_6b, R"({"mlp_bias": true})");
  refused(qwen3_0_6b, R"({"architectures": ["Qwen3MoeForCausalLM"]})");
  refused(qwen3_0_6b, R"({"num_experts": 8})");
  refused(qwen3_0_6b, R"({"use_sliding_window": "yes"})");
}

TEST(Config, ReadsTheSpellingOfTransformers5) {
  auto json = llama_3_2_1b;
  json["rope_parameters"] = json["rope_scaling"];
  json["rope_parameters"]["rope_theta"] = json["rope_theta"];
  json["dtype"] = json["torch_dtype"];
  json["layer_types"] = std::vector<std::string>(16, "full_attention");
  for (const auto* name : {"rope_scaling", "rope_theta", "torch_dtype"}) {
    json.erase(name);
  }
  EXPECT_EQ(parse(json), parse(llama_3_2_1b));
}

TEST(Config, ReadsLinearScalingInBothSpellings) {
  const RopeScaling want{RopeScaling::Kind::linear, 4.0f};
  for (const auto* name : {"type", "rope_type"}) {
    auto json = llama_2_7b;
    json["rope_scaling"] = {{name, "linear"}, {"factor", 4.0}};
    EXPECT_EQ(parse(json).rope_scaling, want) << name;
  }
}

TEST(Config, ReadsBiases) {
  const auto config =
      parse(with(tiny_llama, R"({"attention_bias": true, "mlp_bias": true})"));
  EXPECT_TRUE(config.qkv_bias && config.o_bias && config.mlp_bias);
}

TEST(Config, DefaultsAreTransformers) {
  auto json = tiny_llama;
  for (const auto* name :
       {"num_key_value_heads",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "initializer_range",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id"}) {
    json.erase(name);
  }
  const auto config = parse(json);
  EXPECT_EQ(config.num_key_value_heads, 32);
  EXPECT_EQ(config.max_position_embeddings, 2048);
  EXPECT_EQ(config.rms_norm_eps, 1e-6f);
  EXPECT_EQ(config.rope_theta, 10000.0f);
  EXPECT_EQ(config.initializer_range, 0.02f);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_FALSE(config.bos_token_id);
  EXPECT_TRUE(config.eos_token_ids.empty());
}

TEST(Config, WhatIsWrittenReadsTheSame) {
  for (const auto& json :
       {tiny_llama,
        llama_2_7b,
        llama_3_2_1b,
        qwen2_5_half_b,
        mistral_7b,
        with(mistral_7b, R"({"sliding_window": null})"),
        qwen3_0_6b,
        with(
            qwen3_0_6b,
            R"({"attention_bias": true, "use_sliding_window": true,
            "sliding_window": 512, "max_window_layers": 20})"),
        with(
            tiny_llama,
            R"({"attention_bias": true, "mlp_bias": true, "rope_scaling":
            {"type": "linear", "factor": 2.5}, "rms_norm_eps": 3.3e-7})")}) {
    const auto config = parse(json);
    const auto text = config_json(config, mx::bfloat16);
    EXPECT_EQ(parse_config(text, "config.json"), config) << text;
  }
}

TEST(Config, WritesNumbersAsTheyAreWritten) {
  const auto text = config_json(parse(tiny_llama), mx::float16);
  const auto json = Json::parse(text);
  EXPECT_EQ(json["rms_norm_eps"], 1e-5);
  EXPECT_EQ(json["initializer_range"], 0.02);
  EXPECT_EQ(json["torch_dtype"], "float16");
}

TEST(Config, Qwen2MustTellItsKeyHeads) {
  const auto json = with(qwen2_5_half_b, R"({"num_key_value_heads": null})");
  expect_rejected([&] { parse(json); }, "num_key_value_heads");
}

struct Refusal {
  std::string patch; // of the base
  std::string part;  // of the message
};

std::ostream& operator<<(std::ostream& stream, const Refusal& refusal) {
  return stream << refusal.patch;
}

class ConfigRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(ConfigRefusal, NamesTheField) {
  const auto& [patch, part] = GetParam();
  expect_rejected([&] { parse(with(tiny_llama, patch)); }, part);
}

INSTANTIATE_TEST_SUITE_P(
    Config,
    ConfigRefusal,
    testing::Values(
        Refusal{R"({"model_type": "gemma2"})", "\"mistral\", \"qwen2\" or"},
        Refusal{R"({"model_type": null})", "model_type"},
        Refusal{R"({"model_type": 3})", "model_type"},
        Refusal{
            R"({"architectures": ["LlamaForSequenceClassification"]})",
            "LlamaForSequenceClassification"},
        Refusal{R"({"architectures": ["Qwen2ForCausalLM"]})", "architectures"},
        Refusal{R"({"architectures": []})", "architectures"},
        Refusal{
            R"({"hidden_act": "gelu"})",
            R"(expected hidden_act to be "silu" in config.json; got "gelu")"},
        Refusal{R"({"pretraining_tp": 2})", "pretraining_tp"},
        Refusal{R"({"attention_dropout": 0.1})", "attention_dropout"},
        Refusal{R"({"resid_pdrop": 0.1})", "resid_pdrop"},
        Refusal{R"({"embd_pdrop": 0.1})", "embd_pdrop"},
        Refusal{R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor"},
        Refusal{R"({"use_sliding_window": true})", "use_sliding_window"},
        Refusal{R"({"sliding_window": 4096})", "sliding_window"},
        Refusal{
            R"({"layer_types": ["full_attention", "sliding_attention"]})",
            "layer_types"},
        Refusal{
            R"({"quantization_config": {"bits": 4}})",
            R"(quantization_config = {"bits":4})"},
        Refusal{R"({"quantization": {"bits": 4}})", "quantization"},
        Refusal{
            R"({"attn_logit_softcapping": 50.0})",
            "attn_logit_softcapping = 50.0"},
        Refusal{
            R"({"final_logit_softcapping": 30.0})", "final_logit_softcapping"},
        Refusal{R"({"use_qk_norm": true})", "use_qk_norm"},
        Refusal{R"({"num_local_experts": 8})", "num_local_experts"},
        Refusal{R"({"no_such_field": 1})", "no_such_field = 1"},
        Refusal{R"({"no\nsuch": "a\nb"})", "no\\nsuch"},
        Refusal{R"({"attention_bias": "yes"})", "attention_bias"},
        Refusal{R"({"tie_word_embeddings": 1})", "tie_word_embeddings"},
        Refusal{R"({"bos_token_id": -1})", "bos_token_id"},
        Refusal{R"({"eos_token_id": [2, "x"]})", "eos_token_id"},
        Refusal{R"({"eos_token_id": 4294967296})", "eos_token_id"}));

INSTANTIATE_TEST_SUITE_P(
    Rope,
    ConfigRefusal,
    testing::Values(
        Refusal{
            R"({"rope_scaling": {"type": "yarn", "factor": 4.0}})",
            R"(rope_scaling.type to be "default", "linear" or "llama3" in )"
            R"(config.json; got "yarn")"},
        Refusal{
            R"({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})",
            "dynamic"},
        Refusal{
            R"({"rope_parameters": {"rope_type": "longrope"}})",
            "rope_parameters.rope_type"},
        Refusal{
            R"({"rope_scaling": {"rope_type": "linear", "type": "llama3",
            "factor": 2}})",
            "rope_scaling.type"},
        Refusal{R"({"rope_scaling": {"type": "linear"}})", "factor"},
        Refusal{
            R"({"rope_scaling": {"type": "linear", "factor": 0.5}})",
            "rope_scaling.factor"},
        Refusal{
            R"({"rope_scaling": {"type": "linear", "factor": "2"}})",
            "rope_scaling.factor"},
        Refusal{
            R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0,
            "high_freq_factor": 4.0}})",
            "low_freq_factor"},
        Refusal{
            R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0,
            "low_freq_factor": 4.0, "high_freq_factor": 4.0}})",
            "high_freq_factor"},
        Refusal{
            R"({"rope_parameters": {"rope_type": "default", "beta_fast": 32}})",
            "rope_parameters.beta_fast"},
        Refusal{
            R"({"rope_parameters": {"rope_theta": 1e4,
            "partial_rotary_factor": 0.25}})",
            "rope_parameters.partial_rotary_factor"},
        Refusal{
            R"({"rope_parameters": {"rope_theta": 1e4},
            "rope_scaling": {"type": "linear", "factor": 2}})",
            "rope_scaling"},
        Refusal{R"({"rope_scaling": 2})", "rope_scaling"},
        Refusal{R"({"rope_theta": 0})", "rope_theta"},
        Refusal{R"({"rope_theta": "10000"})", "rope_theta"}));

INSTANTIATE_TEST_SUITE_P(
    Sizes,
    ConfigRefusal,
    testing::Values(
        Refusal{R"({"hidden_size": null})", "hidden_size"},
        Refusal{R"({"hidden_size": 0})", "hidden_size"},
        Refusal{R"({"hidden_size": -1})", "hidden_size"},
        Refusal{R"({"hidden_size": 2048.5})", "hidden_size"},
        Refusal{R"({"hidden_size": 2050})", "num_attention_heads"},
        Refusal{R"({"vocab_size": 1000000000000})", "vocab_size"},
        Refusal{R"({"vocab_size": 18446744073709551615})", "vocab_size"},
        Refusal{R"({"num_hidden_layers": 1000000})", "num_hidden_layers"},
        Refusal{R"({"intermediate_size": 2147483648})", "intermediate_size"},
        Refusal{R"({"num_attention_heads": 0})", "num_attention_heads"},
        Refusal{R"({"num_key_value_heads": 3})", "num_key_value_heads"},
        Refusal{R"({"num_key_value_heads": 64})", "num_key_value_heads"},
        Refusal{R"({"head_dim": 33})", "head_dim"},
        Refusal{R"({"head_dim": 16777216})", "head_dim"},
        Refusal{R"({"max_position_embeddings": 0})", "max_position"},
        Refusal{R"({"rms_norm_eps": -1e-5})", "rms_norm_eps"},
        Refusal{R"({"initializer_range": 2})", "initializer_range"}));

TEST(ConfigText, MalformedJsonIsToldByItsLine) {
  expect_rejected(
      [] { parse_config("{\n\"a\": 1,\n\"b\": }\n", "config.json"); },
      "config.json:3");
  expect_rejected([] { parse_config("", "config.json"); }, "config.json:1");
  expect_rejected([] { parse_config("{\"a\": 1", "x.json"); }, "x.json:1");
  expect_rejected([] { parse_config("[1]", "config.json"); }, "array");
  expect_rejected([] { parse_config("{\"a\": 1e999}", "c.json"); }, "c.json");
  expect_rejected(
      [] { parse_config("{\"a\": \"\xff\"}", "c.json"); }, "c.json");
}

TEST(ConfigText, DeepNestingIsRefused) {
  const auto deep =
      "{\"a\":" + std::string(200000, '[') + std::string(200000, ']') + "}";
  expect_rejected([&] { parse_config(deep, "config.json"); }, "nested");
}

TEST(ConfigText, MissingFileIsNamed) {
  expect_rejected([] { read_config("/nowhere/config.json"); }, "/nowhere");
}

} // namespace
} // namespace tessera
