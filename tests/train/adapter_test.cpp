// peft agrees with us: scripts/golden/adapter.py wrote the numbers.

#include <sys/resource.h>

#include <csignal>

#include "tessera/error.h"
#include "tessera/fuse.h"
#include "tessera/generate.h"
#include "train/run/checkpoint.h"
#include "train/small_run.h"

namespace tessera::train {

namespace {

using nlohmann::json;

const fs::path golden = TESSERA_GOLDEN;

double difference(const mx::array& got, const mx::array& want) {
  auto most = [](const mx::array& x) {
    return double(mx::max(mx::abs(x)).item<float>());
  };
  return most(mx::subtract(got, want)) / most(want);
}

class GoldenAdapter : public testing::TestWithParam<std::string> {};

TEST_P(GoldenAdapter, LogitsArePefts) {
  const auto base = golden / "model/llama3";
  const auto folder = golden / "adapter" / GetParam();
  const auto config = read_config(base / "config.json");
  const auto adapter = load_adapter(folder, config);
  auto expected = read_safetensors(folder / "expected.safetensors");
  const auto tokens = mx::astype(expected.at("tokens"), mx::int32);
  const auto parameters = load_parameters(base, config, mx::float32);
  const auto run = [&](Parameters all, float scale) {
    ForwardOptions options;
    options.lora_scale = scale;
    return logits_of(config, all, hidden_states(config, all, tokens, options));
  };
  auto adapted = parameters;
  adapted.insert(adapter.parameters.begin(), adapter.parameters.end());
  const auto& want = expected.at("logits");
  EXPECT_LT(difference(run(adapted, adapter.config.factor()), want), 1e-4);
  EXPECT_LT(difference(run(fuse_lora(parameters, adapter), 1), want), 1e-4);
  EXPECT_GT(difference(run(parameters, 1), want), 0.01);
}

INSTANTIATE_TEST_SUITE_P(
    Adapters,
    GoldenAdapter,
    testing::Values("peft", "peft_rslora"),
    [](const auto& info) { return info.param; });

class AdapterTest : public SmallRun {
 protected:
  ModelConfig model() const {
    return read_config(folder_ / "base/config.json");
  }

  // With both factors random: with B = 0 an adapter changes nothing.
  Adapter adapter() const {
    LoraConfig lora;
    lora.rank = 3;
    lora.alpha = 4.5;
    lora.dropout = 0.125;
    lora.num_layers = 1;
    lora.keys = {"q_proj", "mlp.down_proj"};
    auto parameters = init_lora(model(), lora, 9);
    for (auto& [name, array] : parameters) {
      array = mx::random::normal(
          array.shape(), mx::float32, 0.0f, 0.3f, mx::random::key(name.size()));
    }
    return {lora, parameters};
  }

  std::string load(const fs::path& folder) const {
    return refusal([&] { load_adapter(folder, model()); });
  }

  FuseOptions fusing(const std::string& to) const {
    return {folder_ / "base", folder_ / "adapter", folder_ / to, std::nullopt};
  }
};

TEST_F(AdapterTest, PeftFilesComeBack) {
  auto one = adapter();
  one.base.name = "some/base";
  save_peft_adapter(folder_, model(), one);
  const auto config = json::parse(read_text(folder_ / "adapter_config.json"));
  EXPECT_EQ(config["r"], 3);
  EXPECT_EQ(config["lora_alpha"], 4.5);
  EXPECT_EQ(config["lora_dropout"], 0.125);
  EXPECT_EQ(config["layers_to_transform"], json({1}));
  EXPECT_EQ(
      config["target_modules"], json({"mlp.down_proj", "self_attn.q_proj"}));
  EXPECT_EQ(config["base_model_name_or_path"], "some/base");
  const auto arrays = read_safetensors(folder_ / "adapter_model.safetensors");
  const std::string q = "base_model.model.model.layers.1.self_attn.q_proj.";
  EXPECT_EQ(arrays.at(q + "lora_A.weight").shape(), (mx::Shape{3, 32}));
  EXPECT_EQ(arrays.at(q + "lora_B.weight").shape(), (mx::Shape{32, 3}));
  const auto back = load_adapter(folder_, model());
  EXPECT_TRUE(same(back.parameters, one.parameters));
  EXPECT_EQ(back.config.factor(), one.config.factor());
  EXPECT_EQ(back.config.dropout, 0.125);
  EXPECT_EQ(back.config.num_layers, 1);
}

TEST_F(AdapterTest, AScaleBecomesAnAlpha) {
  auto one = adapter();
  one.config.scale = 20.0;
  save_peft_adapter(folder_, model(), one);
  const auto config = json::parse(read_text(folder_ / "adapter_config.json"));
  EXPECT_EQ(config["lora_alpha"].dump(), "60");
  EXPECT_TRUE(config["base_model_name_or_path"].is_null());
  EXPECT_EQ(load_adapter(folder_, model()).config.factor(), 20.0f);
}

TEST_F(AdapterTest, WhatPeftAsksForBeyondLoraIsRefusedByName) {
  save_peft_adapter(folder_, model(), adapter());
  const auto file = folder_ / "adapter_config.json";
  const auto good = json::parse(read_text(file));
  const auto with = [&](const std::string& patch) {
    auto config = good;
    config.update(json::parse(patch));
    write_text(file, config.dump());
    return load(folder_);
  };
  EXPECT_EQ(with("{}"), "");
  EXPECT_EQ(with(R"({"layers_to_transform": 1, "rank_pattern": {}})"), "");
  EXPECT_EQ(with(R"({"modules_to_save": [], "init_lora_weights": false})"), "");
  for (const std::string patch :
       {R"({"peft_type": "IA3"})",
        R"({"task_type": "SEQ_CLS"})",
        R"({"bias": "all"})",
        R"({"use_dora": true})",
        R"({"fan_in_fan_out": true})",
        R"({"modules_to_save": ["lm_head"]})",
        R"({"rank_pattern": {"q_proj": 4}})",
        R"({"alpha_pattern": {"q_proj": 4}})",
        R"({"init_lora_weights": "pissa"})",
        R"({"layer_replication": [[0, 1]]})",
        R"({"lora_bias": true})",
        R"({"trainable_token_indices": [1]})",
        R"({"target_parameters": ["x"]})",
        R"({"a_field_of_the_future": 1})",
        R"({"target_modules": ".*proj"})",
        R"({"target_modules": null})",
        R"({"layers_to_transform": [0]})",
        R"({"layers_to_transform": [1, 2]})",
        R"({"r": 0})",
        R"({"r": null})",
        R"({"lora_alpha": "16"})"}) {
    const auto field = json::parse(patch).begin().key();
    EXPECT_NE(with(patch).find(field), std::string::npos)
        << patch << ": " << with(patch);
  }
  EXPECT_NE(with(R"({"target_modules": ["lm_head"]})").find("lm_head"), -1ul);
  EXPECT_NE(with(R"({"target_modules": ["q_proj"]})").find("down_proj"), -1ul);
  EXPECT_NE(with(R"({"r": 4})").find(", 4]; got ["), -1ul);
  fs::remove(folder_ / "adapter_model.safetensors");
  EXPECT_NE(with("{}").find("adapter_model.safetensors"), -1ul);
}

TEST_F(AdapterTest, LayersAreCountedAsMlxLmDoes) {
  auto one = adapter();
  one.config.num_layers = -1;
  one.parameters = init_lora(model(), one.config, 9);
  save_adapter(folder_, model(), one);
  const auto file = folder_ / "adapter_config.json";
  for (const int layers : {-1, 0, 2, 16}) {
    auto config = json::parse(read_text(file));
    config["num_layers"] = layers;
    config["lora_parameters"]["keys"] = {"mlp.down_proj", "self_attn.q_proj"};
    write_text(file, config.dump());
    EXPECT_EQ(load(folder_), "") << layers;
  }
}

TEST_F(AdapterTest, ARunLeavesBothForms) {
  auto o = options();
  o.lora.num_layers = 1;
  finetune(o);
  const auto ours = load_adapter(folder_ / "run", model());
  const auto theirs = load_adapter(folder_ / "run/peft", model());
  EXPECT_TRUE(same(ours.parameters, theirs.parameters));
  EXPECT_EQ(ours.config.factor(), theirs.config.factor());
  EXPECT_EQ(ours.config.num_layers, 1);
  EXPECT_EQ(theirs.config.num_layers, 1);
}

TEST_F(AdapterTest, TrainingGoesOnFromEitherForm) {
  const auto one = adapter();
  fs::create_directories(folder_ / "mlx");
  fs::create_directories(folder_ / "peft");
  save_adapter(folder_ / "mlx", model(), one);
  save_peft_adapter(folder_ / "peft", model(), one);
  for (const auto* path :
       {"mlx",
        "mlx/adapters.safetensors",
        "peft",
        "peft/adapter_model.safetensors"}) {
    const auto start = start_from_adapter(folder_ / path, model(), one.config);
    EXPECT_TRUE(same(start.parameters, one.parameters)) << path;
    auto other = one.config;
    other.alpha = 9;
    EXPECT_NE(
        refusal([&] {
          start_from_adapter(folder_ / path, model(), other);
        }).find("got 3; give --lora-scale 1.5"),
        std::string::npos)
        << path;
  }
  auto o = options();
  o.lora = one.config;
  o.resume_adapter_file = folder_ / "peft";
  o.iters = 1;
  Recorder recorder;
  finetune(o, recorder);
  EXPECT_EQ(recorder.losses.size(), 1u);
}

// One that changed would refuse the adapters of those who have some.
TEST_F(AdapterTest, TheFingerprintOfAModelStays) {
  const auto base = base_model(golden / "model/llama3");
  EXPECT_EQ(base.name, (golden / "model/llama3").string());
  EXPECT_EQ(base.fingerprint, "f143957ad851c992f64465cd875502cb");
}

TEST_F(AdapterTest, TheFingerprintTellsWhatAModelComputes) {
  const auto print = [&] {
    return base_model(folder_ / "base").fingerprint;
  };
  const auto with = [&](const std::string& field, const json& value) {
    auto config = small_config();
    config[field] = value;
    write_text(folder_ / "base/config.json", config.dump());
    const auto got = print();
    write_text(folder_ / "base/config.json", small_config().dump());
    return got;
  };
  const auto first = print();
  EXPECT_EQ(print(), first);
  EXPECT_EQ(with("eos_token_id", 7), first);
  EXPECT_EQ(with("max_position_embeddings", 512), first);
  EXPECT_NE(with("rope_theta", 5e4), first);
  EXPECT_NE(with("rms_norm_eps", 1e-6), first);

  const auto file = folder_ / "base/model.safetensors";
  auto weights = load_parameters(folder_ / "base", model(), mx::float32);
  const auto rewritten = [&](const Parameters& arrays) {
    write_safetensors(file, arrays);
    return print();
  };
  // Every tensor counts, where all of its numbers changed.
  for (const auto& [name, array] : weights) {
    auto others = weights;
    others.at(name) = mx::multiply(array, mx::array(1.01f));
    EXPECT_NE(rewritten(others), first) << name;
  }
  auto others = weights;
  others.at("model.norm.weight") =
      mx::astype(weights.at("model.norm.weight"), mx::float16);
  EXPECT_NE(rewritten(others), first);
  EXPECT_EQ(rewritten(weights), first);

  // In two files.
  Parameters head;
  head.insert(weights.extract("lm_head.weight"));
  write_safetensors(folder_ / "base/a.safetensors", weights);
  write_safetensors(folder_ / "base/b.safetensors", head);
  json map;
  for (const auto& [name, array] : weights) {
    map[name] = "a.safetensors";
  }
  map["lm_head.weight"] = "b.safetensors";
  fs::remove(file);
  write_text(
      folder_ / "base/model.safetensors.index.json",
      json{{"weight_map", map}}.dump());
  EXPECT_EQ(print(), first);
}

TEST_F(AdapterTest, OneOfAnotherModelIsRefusedUnlessAllowed) {
  auto trained = options();
  trained.iters = 1;
  finetune(trained);
  fs::copy(folder_ / "base", folder_ / "other", fs::copy_options::recursive);
  write_safetensors(
      folder_ / "other/model.safetensors",
      init_parameters(model(), mx::float32, 6));
  const auto newest = newest_checkpoint(folder_ / "run");
  ASSERT_TRUE(newest);
  for (const auto& from : {folder_ / "run", folder_ / "run/peft", *newest}) {
    const auto base = load_adapter(from, model()).base;
    EXPECT_EQ(base, base_model(folder_ / "base")) << from;

    FuseOptions fusing{folder_ / "other", from, folder_ / "out", std::nullopt};
    auto tuning = options("next");
    tuning.model = folder_ / "other";
    tuning.resume_adapter_file = from;
    tuning.iters = 1;
    for (const auto& text :
         {refusal([&] { fuse(fusing); }), refusal([&] { finetune(tuning); })}) {
      for (const auto* word :
           {"/base\"", "/other\"", "--allow-other-base", from.c_str()}) {
        EXPECT_NE(text.find(word), std::string::npos) << word << ": " << text;
      }
    }
    tuning.model = fusing.model = folder_ / "base";
    EXPECT_EQ(refusal([&] { fuse(fusing); }), "");
    fs::remove_all(folder_ / "out");
    EXPECT_EQ(refusal([&] { finetune(tuning); }), "");
    fs::remove_all(folder_ / "next");
    tuning.model = fusing.model = folder_ / "other";
    tuning.allow_other_base = fusing.allow_other_base = true;
    EXPECT_EQ(refusal([&] { fuse(fusing); }), "");
    fs::remove_all(folder_ / "out");
    EXPECT_EQ(refusal([&] { finetune(tuning); }), "");
    // What goes on on the other model is an adapter of that.
    EXPECT_EQ(
        load_adapter(folder_ / "next", model()).base,
        base_model(folder_ / "other"));
    fs::remove_all(folder_ / "next");
  }
}

TEST_F(AdapterTest, TestingRefusesAnotherModelToo) {
  auto o = options();
  o.iters = 1;
  finetune(o);
  fs::copy_file(folder_ / "data/valid.jsonl", folder_ / "data/test.jsonl");
  o.train = false;
  o.test = true;
  EXPECT_EQ(refusal([&] { finetune(o); }), "");
  write_safetensors(
      folder_ / "base/model.safetensors",
      init_parameters(model(), mx::float32, 6));
  const auto text = refusal([&] { finetune(o); });
  EXPECT_NE(text.find("was trained on"), std::string::npos) << text;
}

TEST_F(AdapterTest, AFusedModelScoresAsBaseAndAdapterDid) {
  const auto one = adapter();
  fs::create_directories(folder_ / "adapter");
  save_peft_adapter(folder_ / "adapter", model(), one);
  write_text(folder_ / "base/chat_template.jinja", "{{ messages }}");
  fuse(fusing("fused"));

  const auto config = read_config(folder_ / "fused/config.json");
  EXPECT_EQ(config, model());
  TokenIds tokens;
  for (int i = 0; i < 40; ++i) {
    tokens.push_back(i * 37 % 256);
  }
  auto adapted = load_parameters(folder_ / "base", config, mx::float32);
  const auto base = score(config, adapted, tokens);
  adapted.insert(one.parameters.begin(), one.parameters.end());
  ForwardOptions options;
  options.lora_scale = one.config.factor();
  const auto want = score(config, adapted, tokens, options);
  const auto got = score(
      config, load_parameters(folder_ / "fused", config, mx::float32), tokens);
  double changed = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 1e-4) << i;
    changed = std::max(changed, std::abs(double(base[i]) - double(want[i])));
  }
  EXPECT_GT(changed, 0.01);
  for (const auto* name : {"tokenizer.json", "chat_template.jinja"}) {
    EXPECT_EQ(
        read_text(folder_ / "fused" / name),
        read_text(folder_ / "base" / name));
  }
  EXPECT_FALSE(fs::exists(folder_ / "fused.unfinished"));
}

TEST_F(AdapterTest, FusingShardsWhatIsTooLargeForAFile) {
  fs::create_directories(folder_ / "adapter");
  save_adapter(folder_ / "adapter", model(), adapter());
  fuse(fusing("whole"));
  const auto want = load_parameters(folder_ / "whole", model(), mx::float32);
  const auto head = std::int64_t(want.at("lm_head.weight").nbytes());
  std::int64_t total = 0;
  for (const auto& [name, array] : want) {
    total += std::int64_t(array.nbytes());
  }
  for (const auto limit : {total, total - 1, head, std::int64_t{1}}) {
    auto options = fusing("sharded-" + std::to_string(limit));
    options.max_shard_size = limit;
    fuse(options);
    const auto& folder = options.save_path;
    EXPECT_TRUE(same(load_parameters(folder, model(), mx::float32), want));
    const auto index = folder / "model.safetensors.index.json";
    EXPECT_EQ(fs::exists(index), limit < total);
    EXPECT_EQ(fs::exists(folder / "model.safetensors"), limit == total);
    if (limit == total) {
      continue;
    }
    const auto json = json::parse(read_text(index));
    EXPECT_EQ(json["metadata"]["total_size"], total);
    std::map<std::string, Parameters> files;
    for (const auto& [name, file] : json["weight_map"].items()) {
      files[file].emplace(name, want.at(name));
    }
    std::size_t number = 0;
    for (const auto& [file, arrays] : files) {
      EXPECT_EQ(
          file,
          fmt::format(
              "model-{:05}-of-{:05}.safetensors", ++number, files.size()));
      const auto read = read_safetensors(folder / file);
      EXPECT_TRUE(same(read, arrays)) << file;
      std::int64_t bytes = 0;
      for (const auto& [name, array] : read) {
        bytes += std::int64_t(array.nbytes());
      }
      EXPECT_TRUE(bytes <= limit || read.size() == 1) << file;
    }
    EXPECT_EQ(files.size() == want.size(), limit == 1);
  }
}

TEST_F(AdapterTest, FusingKeepsTheDtypeOrTakesTheOneGiven) {
  fs::create_directories(folder_ / "adapter");
  save_adapter(folder_ / "adapter", model(), adapter());
  auto base = small_config();
  base["torch_dtype"] = "float16";
  write_text(folder_ / "base/config.json", base.dump());
  fuse(fusing("half"));
  auto options = fusing("brain");
  options.dtype = mx::bfloat16;
  fuse(options);
  for (const auto& [name, dtype] :
       {std::pair{"half", mx::float16}, std::pair{"brain", mx::bfloat16}}) {
    const auto folder = folder_ / name;
    for (const auto& [key, array] :
         read_safetensors(folder / "model.safetensors")) {
      EXPECT_EQ(array.dtype(), dtype) << key;
    }
    const auto json = json::parse(read_text(folder / "config.json"));
    EXPECT_EQ(json["dtype"], dtype == mx::float16 ? "float16" : "bfloat16");
    EXPECT_FALSE(json.contains("torch_dtype"));
  }
}

TEST_F(AdapterTest, FusingOverwritesNothingAndLeavesNoHalfFolder) {
  fs::create_directories(folder_ / "adapter");
  const auto nothing_left = [&] {
    return !fs::exists(folder_ / "out") &&
        !fs::exists(folder_ / "out.unfinished");
  };
  EXPECT_NE(refusal([&] { fuse(fusing("out")); }), ""); // no adapter
  EXPECT_TRUE(nothing_left());
  save_adapter(folder_ / "adapter", model(), adapter());
  EXPECT_NE(
      refusal([&] { fuse(fusing("base")); }).find("another --save-path"),
      std::string::npos);
  EXPECT_EQ(read_text(folder_ / "base/config.json"), small_config().dump());

  // A disk that is full after 20 kB.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{20000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto full = refusal([&] { fuse(fusing("out")); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(full.find("out"), std::string::npos) << full;
  EXPECT_TRUE(nothing_left());

  fs::create_directories(folder_ / "out"); // empty is free
  fuse(fusing("out/"));
  EXPECT_TRUE(fs::exists(folder_ / "out/model.safetensors"));
}

} // namespace

} // namespace tessera::train
