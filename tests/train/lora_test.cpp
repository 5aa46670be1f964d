#include "tessera/lora.h"

#include "train/small_run.h"

namespace tessera::train {

namespace {

using testing::UnitTest;
using Names = std::vector<std::string>;

class Lora : public SmallRun {
 protected:
  ModelConfig model() const {
    return read_config(folder_ / "base/config.json");
  }
  // adapter_config.json of `lora`, changed by `change`.
  void write_config(const std::function<void(nlohmann::json&)>& change) {
    auto path = folder_ / "adapter_config.json";
    auto json = nlohmann::json::parse(read_text(path));
    change(json);
    write_text(path, json.dump());
  }
};

TEST_F(Lora, FindsModulesByTheEndOfTheirName) {
  LoraConfig lora;
  lora.num_layers = 1;
  EXPECT_EQ(
      lora_modules(model(), lora),
      (Names{
          "model.layers.1.self_attn.k_proj",
          "model.layers.1.self_attn.o_proj",
          "model.layers.1.self_attn.q_proj",
          "model.layers.1.self_attn.v_proj"}));
  lora.keys = {"mlp.up_proj", "v_proj"};
  lora.num_layers = -1;
  EXPECT_EQ(
      lora_modules(model(), lora),
      (Names{
          "model.layers.0.mlp.up_proj",
          "model.layers.0.self_attn.v_proj",
          "model.layers.1.mlp.up_proj",
          "model.layers.1.self_attn.v_proj"}));
  lora.keys = {"all-linear"};
  EXPECT_EQ(lora_modules(model(), lora).size(), 14u);
}

TEST_F(Lora, RefusesWhatItCannotAdapt) {
  auto refused = [&](auto change) {
    LoraConfig lora;
    change(lora);
    return refusal([&] { lora_modules(model(), lora); });
  };
  EXPECT_NE(
      refused([](auto& l) {
        l.keys = {"q_proj", "proj"};
      }).find("got proj"),
      std::string::npos);
  EXPECT_NE(
      refused([](auto& l) { l.keys = {"lm_head"}; }).find("got lm_head"),
      std::string::npos);
  EXPECT_NE(refused([](auto& l) { l.rank = 0; }), "");
  EXPECT_NE(refused([](auto& l) { l.dropout = 1.0; }), "");
  EXPECT_NE(refused([](auto& l) { l.num_layers = 3; }), "");
  EXPECT_NE(refused([](auto& l) { l.num_layers = 0; }), "");
  EXPECT_NE(refused([](auto& l) { l.keys.clear(); }), "");
}

TEST_F(Lora, StartsAsTheBaseAndDependsOnSeedAndNameAlone) {
  LoraConfig lora;
  Parameters all = init_lora(model(), lora, 1);
  EXPECT_EQ(all.size(), 16u);
  const auto& a = all.at("model.layers.0.self_attn.q_proj.lora_a");
  EXPECT_EQ(a.shape(), (mx::Shape{32, 8}));
  float bound = 1 / std::sqrt(32.0f);
  EXPECT_LE(mx::max(mx::abs(a)).item<float>(), bound);
  EXPECT_GT(mx::max(mx::abs(a)).item<float>(), 0.9f * bound);
  for (const auto& [name, array] : all) {
    if (name.ends_with(".lora_b")) {
      EXPECT_FALSE(mx::any(array).item<bool>()) << name;
    }
  }
  EXPECT_TRUE(same(all, init_lora(model(), lora, 1)));
  EXPECT_FALSE(same(all, init_lora(model(), lora, 2)));
  lora.keys = {"q_proj"};
  EXPECT_TRUE(mx::array_equal(
                  a,
                  init_lora(model(), lora, 1)
                      .at("model.layers.0.self_attn.q_proj.lora_a"))
                  .item<bool>());
}

TEST_F(Lora, ScaleIsAlphaOverRankOrGiven) {
  LoraConfig lora;
  lora.rank = 4;
  lora.alpha = 6;
  EXPECT_FLOAT_EQ(lora.factor(), 1.5f);
  lora.scale = 20;
  EXPECT_FLOAT_EQ(lora.factor(), 20.0f);
}

TEST_F(Lora, AdapterFilesComeBack) {
  LoraConfig lora;
  lora.rank = 3;
  lora.dropout = 0.25;
  lora.num_layers = 1;
  lora.keys = {"q_proj", "mlp.down_proj"};
  Adapter adapter{lora, init_lora(model(), lora, 9)};
  save_adapter(folder_, model(), adapter);
  auto json = nlohmann::json::parse(read_text(folder_ / "adapter_config.json"));
  EXPECT_EQ(json["fine_tune_type"], "lora");
  EXPECT_EQ(
      json["lora_parameters"]["keys"],
      (Names{"mlp.down_proj", "self_attn.q_proj"}));
  Adapter back = load_adapter(folder_, model());
  EXPECT_EQ(back.config.rank, 3);
  EXPECT_EQ(back.config.num_layers, 1);
  EXPECT_EQ(back.config.dropout, 0.25);
  EXPECT_FLOAT_EQ(back.config.factor(), lora.factor());
  EXPECT_TRUE(same(back.parameters, adapter.parameters));
}

TEST_F(Lora, ReadsMlxLmWithoutKeysAsEveryLinear) {
  LoraConfig lora;
  lora.keys = {"all-linear"};
  save_adapter(folder_, model(), {lora, init_lora(model(), lora, 9)});
  write_config([](auto& json) { json["lora_parameters"].erase("keys"); });
  EXPECT_EQ(load_adapter(folder_, model()).parameters.size(), 28u);
}

TEST_F(Lora, RefusesAdaptersThatDoNotFitByName) {
  LoraConfig lora;
  Parameters all = init_lora(model(), lora, 9);
  save_adapter(folder_, model(), {lora, all});
  auto load = [&] {
    return refusal([&] { load_adapter(folder_, model()); });
  };
  auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_EQ(load(), "");
  write_config([](auto& json) { json["lora_parameters"]["rank"] = 4; });
  EXPECT_TRUE(has(load(), "of shape [32, 4]; got [32, 8]")) << load();
  write_config([](auto& json) {
    json["lora_parameters"]["rank"] = 8;
    json["num_layers"] = 1;
  });
  EXPECT_TRUE(has(load(), "got model.layers.0.self_attn")) << load();
  write_config([](auto& json) {
    json["num_layers"] = 2;
    json["fine_tune_type"] = "dora";
  });
  EXPECT_TRUE(has(load(), "got dora")) << load();
  write_config([](auto& json) {
    json["fine_tune_type"] = "lora";
    json["lora_parameters"]["rank"] = "eight";
  });
  EXPECT_TRUE(has(load(), "adapter_config.json")) << load();
  write_config([](auto& json) { json["lora_parameters"]["rank"] = 8; });
  all.erase("model.layers.1.self_attn.v_proj.lora_b");
  write_safetensors(folder_ / "adapters.safetensors", all);
  EXPECT_TRUE(has(load(), "model.layers.1.self_attn.v_proj.lora_b")) << load();
  fs::resize_file(folder_ / "adapters.safetensors", 500);
  EXPECT_TRUE(has(load(), "adapters.safetensors")) << load();
}

} // namespace

} // namespace tessera::train
