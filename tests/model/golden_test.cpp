// transformers and peft agree with us: scripts/golden/model.py wrote the
// numbers.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/golden.h"

namespace tessera {
namespace {

// Of the largest magnitude of each array, in float32.
constexpr double tolerance = 1e-4;

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  Golden golden = load_golden(golden_folder(GetParam()));
  mx::array batch = batch_of(golden.numbers["batches"][0]);

  mx::array logits() const {
    const auto inputs = columns(batch, 0, batch.shape(1) - 1);
    return logits_of(
        golden.config,
        golden.parameters,
        hidden_states(golden.config, golden.parameters, inputs));
  }
};

void expect_gradients(const Parameters& got, const Parameters& want) {
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  for (const auto& [name, gradient] : want) {
    ASSERT_TRUE(got.contains(name)) << name;
    const double difference = relative_difference(got.at(name), gradient);
    EXPECT_LT(difference, tolerance) << name;
    worst = std::max(worst, difference);
  }
  testing::Test::RecordProperty("worst", fmt::format("{:.1e}", worst));
}

TEST_P(GoldenTest, Logits) {
  const auto& want = golden.expected.at("logits");
  ASSERT_EQ(logits().shape(), want.shape());
  const double difference = relative_difference(logits(), want);
  EXPECT_LT(difference, tolerance);
  RecordProperty("worst", fmt::format("{:.1e}", difference));
}

TEST_P(GoldenTest, LoraGradients) {
  const auto lora = with_prefix(golden.expected, "lora.");
  ASSERT_EQ(
      lora.size(),
      2 * linear_names.size() * std::size_t(golden.config.num_hidden_layers));
  std::vector implementations = {Implementation::tessera};
  if (golden.config.windows.empty()) { // MLX's op has none
    implementations.push_back(Implementation::mlx);
  }
  for (const auto implementation : implementations) {
    golden.forward.attention.implementation = implementation;
    const auto [loss, gradients] = gradients_of(
        golden.config, golden.parameters, lora, batch, golden.forward);
    const float want = golden.numbers["loss"];
    EXPECT_NEAR(loss, want, tolerance * double(want));
    expect_gradients(gradients, with_prefix(golden.expected, "gradient."));
  }
}

// AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019),
// algorithm 2), in torch's order: decay, then the step.
struct AdamW {
  float rate, beta1, beta2, epsilon, decay;
  int step = 0;
  Parameters m = {};
  Parameters v = {};

  void update(Parameters& values, const Parameters& gradients) {
    ++step;
    const float c1 = 1 - std::pow(beta1, float(step));
    const float c2 = 1 - std::pow(beta2, float(step));
    for (auto& [name, x] : values) {
      const auto& g = gradients.at(name);
      const auto average = [](Parameters& of,
                              const std::string& key,
                              float b,
                              const mx::array& now) {
        const auto old = of.try_emplace(key, mx::zeros_like(now)).first->second;
        const auto next = mx::array(b) * old + mx::array(1 - b) * now;
        of.insert_or_assign(key, next);
        return next;
      };
      const auto mean = average(m, name, beta1, g) / mx::array(c1);
      const auto square =
          average(v, name, beta2, mx::square(g)) / mx::array(c2);
      x = x * mx::array(1 - rate * decay) -
          mx::array(rate) * mean / (mx::sqrt(square) + mx::array(epsilon));
    }
  }
};

void clip(Parameters& gradients, float max_norm) {
  auto squares = mx::array(0.0f);
  for (const auto& [name, g] : gradients) {
    squares = squares + mx::sum(mx::square(g));
  }
  const float norm = mx::sqrt(squares).item<float>();
  for (auto& [name, g] : gradients) {
    g = g * mx::array(std::min(1.0f, max_norm / (norm + 1e-6f)));
  }
}

TEST_P(GoldenTest, TenLosses) {
  for (const auto& run : golden.numbers["runs"]) {
    auto lora = with_prefix(golden.expected, "lora.");
    AdamW optimizer{
        run["learning_rate"],
        run["beta1"],
        run["beta2"],
        run["epsilon"],
        run["weight_decay"]};
    const float max_norm = run["max_grad_norm"];
    ASSERT_EQ(run["losses"].size(), 10u);
    for (std::size_t i = 0; i < run["losses"].size(); ++i) {
      auto [loss, gradients] = gradients_of(
          golden.config,
          golden.parameters,
          lora,
          batch_of(golden.numbers["batches"][i]),
          golden.forward);
      const float want = run["losses"][i];
      EXPECT_NEAR(loss, want, tolerance * double(want)) << "step " << i;
      if (max_norm > 0) {
        clip(gradients, max_norm);
      }
      optimizer.update(lora, gradients);
    }
    // Something was learned, so that the losses say something of the steps.
    EXPECT_LT(run["losses"][9], run["losses"][0].get<float>() - 0.01f);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, GoldenTest, testing::ValuesIn(golden_names), [](const auto& info) {
      return info.param;
    });

// Of every parameter of the model: biases, norms, and the embedding that is the
// head as well.
TEST(GoldenFull, Gradients) {
  const auto golden = load_golden(golden_folder("qwen2"));
  const auto [loss, gradients] = gradients_of(
      golden.config,
      golden.parameters,
      golden.parameters,
      batch_of(golden.numbers["batches"][0]),
      {});
  expect_gradients(gradients, with_prefix(golden.expected, "full."));
}

} // namespace
} // namespace tessera
