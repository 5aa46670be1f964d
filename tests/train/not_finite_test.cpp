#include <fmt/format.h>

#include "train/run/checkpoint.h"
#include "train/small_run.h"

namespace tessera::train {

namespace {

using NotFinite = SmallRun;

// Whether a list such as ":1,2,3)" names the line.
bool lists(const std::string& text, int line) {
  for (const char* before : {":", ","}) {
    for (const char* after : {",", ")"}) {
      if (text.find(fmt::format("{}{}{}", before, line, after)) != text.npos) {
        return true;
      }
    }
  }
  return false;
}

TEST_F(NotFinite, LossStopsAndKeepsTheCheckpoint) {
  auto o = options();
  o.learning_rate = 1e18;
  o.max_grad_norm = 0;
  o.save_every = 1;
  o.batch_size = 23;
  Recorder recorder;
  auto text = refusal([&] { finetune(o, recorder); });
  EXPECT_NE(text.find("at step"), std::string::npos) << text;
  EXPECT_NE(text.find("step-000000"), std::string::npos) << text;
  EXPECT_NE(text.find("train.jsonl:"), std::string::npos) << text;
  for (int line = 1; line <= 23; ++line) { // the batch has all of them
    EXPECT_TRUE(lists(text, line)) << line << " in " << text;
  }
  EXPECT_EQ(damage_of(recorder.checkpoints.back()), "");
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

// Of the batches that an update adds up, those whose loss is at fault.
TEST_F(NotFinite, LossNamesItsBatch) {
  auto config = read_config(folder_ / "base/config.json");
  auto weights = load_parameters(folder_ / "base", config, mx::float32);
  // Feature 0 is that of the letter z, which stands in one document; the logits
  // by it are infinite.
  auto fill =
      [&](const std::string& name, mx::Shape from, mx::Shape to, float x) {
        auto& w = weights.at(name + ".weight");
        mx::Shape size{to[0] - from[0], to[1] - from[1]};
        w = mx::slice_update(w, mx::full(size, x), from, to);
      };
  for (int layer : {0, 1}) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    fill(prefix + "self_attn.o_proj", {0, 0}, {1, 32}, 0);
    fill(prefix + "mlp.down_proj", {0, 0}, {1, 64}, 0);
  }
  fill("model.embed_tokens", {0, 0}, {256, 1}, 0);
  fill("model.embed_tokens", {'z', 0}, {'z' + 1, 1}, 1e6f);
  fill("lm_head", {0, 0}, {256, 1}, 3e38f);
  write_safetensors(folder_ / "base/model.safetensors", weights);
  write_text(
      folder_ / "data/train.jsonl",
      R"({"text": "one"})"
      "\n"
      R"({"text": "two"})"
      "\n"
      R"({"text": "zzz"})"
      "\n"
      R"({"text": "four"})"
      "\n");
  fs::remove(folder_ / "data/valid.jsonl");
  auto o = options();
  o.batch_size = 1;
  o.grad_accumulation_steps = 4;
  auto text = refusal([&] { finetune(o); });
  EXPECT_NE(text.find("train.jsonl:3)"), std::string::npos) << text;
  EXPECT_NE(text.find(" of 4 ("), std::string::npos) << text;
  for (int line : {1, 2, 4}) {
    EXPECT_EQ(text.find(fmt::format(":{})", line)), std::string::npos) << text;
  }
}

TEST_F(NotFinite, ParametersAreNotSaved) {
  auto o = options();
  o.learning_rate = 1e39; // beyond float32
  o.iters = 1;
  auto text = refusal([&] { finetune(o); });
  EXPECT_NE(text.find("finite"), std::string::npos) << text;
  EXPECT_FALSE(newest_checkpoint(o.adapter_path));
  EXPECT_FALSE(fs::exists(o.adapter_path / "adapters.safetensors"));
}

TEST_F(NotFinite, WeightsAreNamed) {
  auto config = read_config(folder_ / "base/config.json");
  auto weights = load_parameters(folder_ / "base", config, mx::float32);
  auto& norm = weights.at("model.norm.weight");
  norm = mx::slice_update(norm, mx::array({NAN}), mx::Shape{7}, mx::Shape{8});
  write_safetensors(folder_ / "base/model.safetensors", weights);
  auto text = refusal([&] { finetune(options()); });
  EXPECT_NE(text.find("model.norm.weight"), std::string::npos) << text;
  EXPECT_NE(text.find("model.safetensors"), std::string::npos) << text;
}

} // namespace

} // namespace tessera::train
