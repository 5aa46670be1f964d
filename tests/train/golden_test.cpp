#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "model/safetensors.h"
#include "train/trainer.h"

// Ten steps of LoRA as transformers, peft and torch.optim.AdamW take them;
// scripts/golden/model.py says how the numbers were made.

namespace tessera::train {

namespace {

class Golden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::filesystem::path folder = TESSERA_GOLDEN "/model";
    folder /= GetParam();
    expected_ = nlohmann::json::parse(std::ifstream(folder / "expected.json"));
    arrays_ = read_safetensors(folder / "expected.safetensors");
    network_.config = read_config(folder / "config.json");
    network_.frozen = load_parameters(folder, network_.config, mx::float32);
    network_.forward.lora_scale = expected_["lora_scale"];
  }

  Parameters with_prefix(const std::string& prefix) const {
    Parameters found;
    for (const auto& [name, array] : arrays_) {
      if (name.starts_with(prefix)) {
        found.emplace(name.substr(prefix.size()), array);
      }
    }
    return found;
  }

  static Batch batch_of(const nlohmann::json& rows) {
    Dataset data;
    Rows order;
    for (const auto& row : rows) {
      order.push_back({data.documents.size()});
      data.documents.push_back({row.get<TokenIds>(), {}, 1});
    }
    return make_batch(data, order);
  }

  nlohmann::json expected_;
  Parameters arrays_;
  Network network_;
};

TEST_P(Golden, GradientsOfTheLoss) {
  auto [loss, gradient, shares] = loss_and_gradient(
      network_, with_prefix("lora."), {batch_of(expected_["batches"][0])}, 0);
  EXPECT_NEAR(loss.item<float>(), expected_["loss"], 1e-4);
  auto want = with_prefix("gradient.");
  ASSERT_EQ(gradient.size(), want.size());
  for (const auto& [name, array] : want) {
    float error = mx::max(mx::abs(gradient.at(name) - array)).item<float>();
    float size = mx::max(mx::abs(array)).item<float>();
    EXPECT_LT(error, 1e-4f * size) << name;
  }
}

TEST_P(Golden, TenLosses) {
  for (const auto& run : expected_["runs"]) {
    SCOPED_TRACE(testing::Message() << "clipped to " << run["max_grad_norm"]);
    UpdateOptions options;
    options.learning_rate = run["learning_rate"];
    options.max_grad_norm = run["max_grad_norm"];
    options.adam = {
        run["beta1"], run["beta2"], run["epsilon"], run["weight_decay"]};
    Trained state = begin_training(with_prefix("lora."));
    for (std::size_t i = 0; i < 10; ++i) {
      auto updated = update(
          network_,
          std::move(state),
          {batch_of(expected_["batches"][i])},
          options);
      state = std::move(updated.state);
      double want = run["losses"].at(i);
      EXPECT_NEAR(updated.loss, want, 1e-4 * want) << "step " << i + 1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models,
    Golden,
    testing::Values(
        "llama3", "llama_linear", "llama_bias", "qwen2", "qwen3_window"),
    [](const auto& test) { return std::string(test.param); });

} // namespace

} // namespace tessera::train
