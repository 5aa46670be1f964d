#include "tessera/generate.h"

#include <gtest/gtest.h>

#include "model/expect.h"
#include "model/golden.h"

namespace tessera {
namespace {

const TokenIds prompt = {5, 17, 99, 3, 64};

struct Fixture {
  Golden golden;

  explicit Fixture(const std::string& name = "qwen2")
      : golden(load_golden(golden_folder(name))) {
    golden.config.eos_token_ids.clear();
  }

  TokenIds run(const GenerateOptions& options) const {
    return generate(
        golden.config, golden.parameters, prompt, options, [](auto) {
          return true;
        });
  }
};

GenerateOptions tokens(int count) {
  GenerateOptions options;
  options.max_tokens = count;
  return options;
}

// Without a cache: the whole text anew for each token.
TokenIds greedy_by_hand(const Golden& golden, int count) {
  auto ids = prompt;
  for (int i = 0; i < count; ++i) {
    const auto logits = logits_of(
        golden.config,
        golden.parameters,
        hidden_states(
            golden.config,
            golden.parameters,
            mx::array(ids.data(), {1, int(ids.size())})));
    const auto last = mx::take(logits, int(ids.size()) - 1, 1);
    ids.push_back(std::int32_t(mx::argmax(last, -1).item<std::uint32_t>()));
  }
  return {ids.begin() + std::ptrdiff_t(prompt.size()), ids.end()};
}

TEST(Generate, GreedyIsTheArgmaxOfEachForward) {
  for (const auto* name : {"qwen2", "mistral", "qwen3_window"}) {
    const Fixture f(name);
    EXPECT_EQ(f.run(tokens(20)), greedy_by_hand(f.golden, 20)) << name;
  }
}

TEST(Generate, FollowsItsSeed) {
  const Fixture f;
  auto options = tokens(30);
  options.temperature = 1.5f;
  options.seed = 7;
  const auto first = f.run(options);
  EXPECT_EQ(first.size(), 30u);
  EXPECT_EQ(f.run(options), first);
  options.seed = 8;
  EXPECT_NE(f.run(options), first);
}

TEST(Generate, TinyTopPIsGreedy) {
  const Fixture f;
  auto options = tokens(10);
  options.temperature = 1.0f;
  options.top_p = 1e-6f;
  EXPECT_EQ(f.run(options), greedy_by_hand(f.golden, 10));
}

TEST(Generate, StopsAtAnEndToken) {
  Fixture f;
  const auto all = f.run(tokens(20));
  f.golden.config.eos_token_ids = {-1, all[6]};
  const auto first = std::find(all.begin(), all.end(), all[6]) - all.begin();
  EXPECT_EQ(f.run(tokens(20)), TokenIds(all.begin(), all.begin() + first));
}

TEST(Generate, StopsWhereTold) {
  const Fixture f;
  int calls = 0;
  const auto some = generate(
      f.golden.config, f.golden.parameters, prompt, tokens(20), [&](auto) {
        return ++calls < 3;
      });
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(some.size(), 3u);
  EXPECT_TRUE(f.run(tokens(0)).empty());
}

TEST(Generate, RefusesWhatItCannotUse) {
  const Fixture f;
  const auto with = [&](const TokenIds& ids, const GenerateOptions& options) {
    return [&f, ids, options] {
      generate(f.golden.config, f.golden.parameters, ids, options, [](auto) {
        return true;
      });
    };
  };
  expect_rejected(with({}, tokens(1)), "at least one token");
  expect_rejected(with({5, 128}, tokens(1)), "got 128");
  expect_rejected(with({-1}, tokens(1)), "got -1");
  auto options = tokens(1);
  options.temperature = -1;
  expect_rejected(with(prompt, options), "temperature");
  options.temperature = std::nanf("");
  expect_rejected(with(prompt, options), "temperature");
  options.temperature = 1;
  options.top_p = 0;
  expect_rejected(with(prompt, options), "top_p");
  expect_rejected(with(prompt, tokens(-1)), "max_tokens");
}

TEST(Score, IsTheLogSoftmaxOfTheLogits) {
  for (const auto& name : golden_names) {
    const auto golden = load_golden(golden_folder(name));
    const auto row = golden.numbers["batches"][0][0].get<TokenIds>();
    const auto got = score(golden.config, golden.parameters, row);
    // "logits" leaves out those behind the last token, which predict nothing.
    const auto logits = golden.expected.at("logits");
    ASSERT_EQ(got.size(), row.size() - 1);
    for (std::size_t t = 0; t < got.size(); ++t) {
      double sum = 0;
      const auto at = [&](int id) {
        return double(
            mx::slice(logits, {0, int(t), id}, {1, int(t) + 1, id + 1})
                .item<float>());
      };
      for (int id = 0; id < golden.config.vocab_size; ++id) {
        sum += std::exp(at(id));
      }
      EXPECT_NEAR(double(got[t]), at(row[t + 1]) - std::log(sum), 1e-4);
    }
  }
}

TEST(Score, OneTokenHasNothingToPredict) {
  const Fixture f;
  EXPECT_TRUE(score(f.golden.config, f.golden.parameters, {5}).empty());
  expect_rejected(
      [&] { score(f.golden.config, f.golden.parameters, {}); }, "one token");
  expect_rejected(
      [&] {
        score(f.golden.config, f.golden.parameters, {1, 500});
      },
      "500");
}

// More positions than one chunk of logits holds.
TEST(Score, ChunksGiveWhatTheWholeGives) {
  Golden golden = load_golden(golden_folder("qwen2"));
  golden.config.vocab_size = 1 << 19;
  const auto& small = golden.parameters.at("model.embed_tokens.weight");
  golden.parameters.insert_or_assign(
      "model.embed_tokens.weight",
      mx::concatenate({small, mx::zeros({(1 << 19) - 128, 32})}, 0));
  TokenIds ids;
  for (int i = 0; i < 75; ++i) {
    ids.push_back(i * 7 % 128);
  }
  const auto got = score(golden.config, golden.parameters, ids);
  const auto logits = logits_of(
      golden.config,
      golden.parameters,
      hidden_states(
          golden.config, golden.parameters, mx::array(ids.data(), {1, 74})));
  const auto want = mx::subtract(
      mx::take_along_axis(logits, mx::array(ids.data() + 1, {1, 74, 1}), -1),
      mx::logsumexp(logits, -1, true));
  const auto difference =
      relative_difference(mx::array(got.data(), {1, 74, 1}), want);
  EXPECT_LT(difference, 1e-5);
}

} // namespace
} // namespace tessera
