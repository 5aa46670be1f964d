#include <gtest/gtest.h>

#include "model/expect.h"
#include "model/golden.h"

namespace tessera {
namespace {

// Rounding of the same sums in another order.
constexpr double rounding = 1e-5;

struct Fixture {
  Golden golden;
  mx::array tokens = columns(batch_of(golden.numbers["batches"][0]), 0, 24);
  Parameters lora = with_prefix(golden.expected, "lora.");

  explicit Fixture(const std::string& name = "llama3")
      : golden(load_golden(golden_folder(name))) {}

  Parameters adapted() const {
    auto all = golden.parameters;
    all.insert(lora.begin(), lora.end());
    return all;
  }

  mx::array run(const ForwardOptions& options, KvCache* cache = nullptr) const {
    return hidden_states(golden.config, adapted(), tokens, options, cache);
  }
};

class ForwardCache : public testing::TestWithParam<std::string> {};

// Parts of one token and of many, within the windows and beyond them.
TEST_P(ForwardCache, GivesWhatTheWholeGives) {
  const Fixture f(GetParam());
  const auto whole = f.run({});
  KvCache cache(f.golden.config.num_hidden_layers);
  std::vector<mx::array> parts;
  int at = 0;
  for (const int n : {7, 1, 1, 10, 1, 4}) {
    parts.push_back(hidden_states(
        f.golden.config,
        f.adapted(),
        columns(f.tokens, at, at + n),
        {},
        &cache));
    at += n;
    EXPECT_EQ(cache.length(), at);
  }
  ASSERT_EQ(at, 24);
  EXPECT_LT(relative_difference(mx::concatenate(parts, 1), whole), rounding);
}

INSTANTIATE_TEST_SUITE_P(
    Models,
    ForwardCache,
    testing::Values("llama3", "mistral", "qwen2_window", "qwen3_window"),
    [](const auto& info) { return info.param; });

TEST(Forward, CacheGrowsBeyondItsStep) {
  const int H = 2, D = 4;
  KvCache cache(1);
  std::vector<mx::array> keys;
  int length = 0;
  for (const int n : {200, 56, 1, 700, 3}) {
    keys.push_back(mx::random::normal({1, H, n, D}));
    const auto [K, V] = cache.append(0, keys.back(), mx::negative(keys.back()));
    length += n;
    const auto want = mx::concatenate(keys, 2);
    EXPECT_EQ(K.shape(), (mx::Shape{1, H, length, D}));
    EXPECT_TRUE(mx::array_equal(K, want).item<bool>());
    EXPECT_TRUE(mx::array_equal(V, mx::negative(want)).item<bool>());
  }
}

TEST(Forward, PositionsCountFromTheCache) {
  const Fixture f;
  const auto last = [&](const mx::array& tokens) {
    return mx::take(
        hidden_states(f.golden.config, f.golden.parameters, tokens),
        tokens.shape(1) - 1,
        1);
  };
  // The same last three tokens, behind others and alone: they must differ.
  const auto tail = columns(f.tokens, 21, 24);
  EXPECT_GT(relative_difference(last(tail), last(f.tokens)), 0.01);
}

TEST(Forward, RowsOfABatchAreApart) {
  const Fixture f;
  const auto both = f.run({});
  for (int row = 0; row < 2; ++row) {
    const auto one = hidden_states(
        f.golden.config,
        f.adapted(),
        mx::slice(f.tokens, {row, 0}, {row + 1, 24}));
    const auto want = mx::slice(both, {row, 0, 0}, {row + 1, 24, 32});
    EXPECT_LT(relative_difference(one, want), rounding);
  }
}

TEST(Forward, LoraScaleScales) {
  const Fixture f;
  ForwardOptions off;
  off.lora_scale = 0.0f;
  const auto base =
      hidden_states(f.golden.config, f.golden.parameters, f.tokens);
  EXPECT_LT(relative_difference(f.run(off), base), rounding);
  EXPECT_GT(relative_difference(f.run({}), base), 0.01);
}

TEST(Forward, DropoutFollowsItsSeed) {
  const Fixture f;
  const auto with_seed = [&](std::uint64_t seed) {
    ForwardOptions options;
    options.lora_dropout = 0.5f;
    options.dropout_seed = seed;
    return f.run(options);
  };
  EXPECT_TRUE(mx::array_equal(with_seed(1), with_seed(1)).item<bool>());
  EXPECT_GT(relative_difference(with_seed(1), with_seed(2)), 0.01);

  ForwardOptions no_seed;
  no_seed.lora_dropout = 0.5f;
  EXPECT_TRUE(mx::array_equal(f.run(no_seed), f.run({})).item<bool>());
}

// The mean over many keys is what it is without dropout.
TEST(Forward, DropoutKeepsTheMean) {
  const Fixture f;
  const auto gradient_mean = [&](float p) {
    auto all = f.golden.parameters;
    const std::string v = "model.layers.1.self_attn.v_proj";
    all.insert_or_assign(v + ".lora_a", f.lora.at(v + ".lora_a"));
    all.insert_or_assign(v + ".lora_b", f.lora.at(v + ".lora_b"));
    auto sum = mx::zeros({2, 24, 32});
    const int keys = p > 0 ? 400 : 1;
    for (int i = 0; i < keys; ++i) {
      ForwardOptions options;
      options.lora_scale = 0.01f; // small: the rest of the model is then linear
      options.lora_dropout = p;
      options.dropout_seed = std::uint64_t(i);
      const auto h = hidden_states(f.golden.config, all, f.tokens, options);
      sum = mx::add(sum, h);
      sum.eval();
    }
    const auto base =
        hidden_states(f.golden.config, f.golden.parameters, f.tokens);
    return mx::subtract(mx::divide(sum, mx::array(float(keys))), base);
  };
  EXPECT_LT(relative_difference(gradient_mean(0.3f), gradient_mean(0)), 0.2);
}

// The MLP's output is silu(c + gate) * (d + up) here, gate and up being the
// same small LoRA term; with d = silu(c) / silu'(c) either of them alone
// changes it by the same, unless they drop other elements.
TEST(Forward, ModulesDropApart) {
  auto golden = load_golden(golden_folder("llama_bias"));
  const auto tokens = columns(batch_of(golden.numbers["batches"][0]), 0, 24);
  const std::string mlp = "model.layers.0.mlp.";
  auto& all = golden.parameters;
  for (const auto& [module, bias] :
       {std::pair{"gate_proj", 1.0f}, std::pair{"up_proj", 0.78806f}}) {
    all.insert_or_assign(mlp + module + ".weight", mx::zeros({48, 32}));
    all.insert_or_assign(mlp + module + ".bias", mx::full({48}, bias));
  }
  const auto base = hidden_states(golden.config, all, tokens);
  const auto change = [&](const std::string& module, float dropout) {
    auto adapted = all;
    for (const auto* factor : {".lora_a", ".lora_b"}) {
      adapted.insert_or_assign(
          mlp + module + factor,
          golden.expected.at("lora." + mlp + "up_proj" + factor));
    }
    ForwardOptions options;
    options.lora_scale = 0.01f;
    options.lora_dropout = dropout;
    options.dropout_seed = 5;
    return mx::subtract(
        hidden_states(golden.config, adapted, tokens, options), base);
  };
  const auto apart = [&](float dropout) {
    return relative_difference(
        change("gate_proj", dropout), change("up_proj", dropout));
  };
  EXPECT_LT(apart(0.0f), 0.02);
  EXPECT_GT(apart(0.5f), 0.2);
}

TEST(Forward, HalfPrecisionStaysClose) {
  const Fixture f;
  const auto want = f.run({});
  // Two layers of some ten roundings each, half an ulp apiece.
  for (const auto& [dtype, bound] :
       {std::pair{mx::float16, 0.01}, std::pair{mx::bfloat16, 0.08}}) {
    auto all = f.adapted();
    for (auto& [name, array] : all) {
      array = mx::astype(array, dtype);
    }
    const auto got = hidden_states(f.golden.config, all, f.tokens);
    EXPECT_EQ(got.dtype(), dtype);
    EXPECT_LT(relative_difference(mx::astype(got, mx::float32), want), bound);
  }
}

TEST(Forward, FlashOnAndOffAgree) {
  const Fixture f;
  const auto lora = f.lora;
  const auto batch = batch_of(f.golden.numbers["batches"][1]);
  const auto run = [&](Implementation implementation) {
    auto options = f.golden.forward;
    options.attention.implementation = implementation;
    return gradients_of(
        f.golden.config, f.golden.parameters, lora, batch, options);
  };
  const auto ours = run(Implementation::tessera);
  const auto theirs = run(Implementation::mlx);
  EXPECT_NEAR(ours.loss, theirs.loss, 1e-5);
  for (const auto& [name, gradient] : theirs.gradients) {
    EXPECT_LT(relative_difference(ours.gradients.at(name), gradient), 1e-4)
        << name;
  }
}

TEST(Forward, TokensMustBeRows) {
  const Fixture f;
  expect_rejected(
      [&] {
        hidden_states(
            f.golden.config, f.golden.parameters, mx::array({1, 2, 3}));
      },
      "[B, N]");
}

} // namespace
} // namespace tessera
