#include "tessera/generate.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "model/sample.h"
#include "tessera/error.h"

namespace tessera {

namespace {

// Token ids [1, N].
mx::array row(std::span<const std::int32_t> ids) {
  return mx::array(ids.data(), {1, int(ids.size())});
}

// MLX reads a row of the embedding without looking whether it is there.
void check_tokens(
    std::string_view op, const ModelConfig& config, const TokenIds& tokens) {
  if (tokens.empty()) {
    reject(op, "expected at least one token; got none");
  }
  for (const auto id : tokens) {
    if (id < 0 || id >= config.vocab_size) {
      reject(
          op,
          "expected token ids below the model's vocab_size {}; got {} (does "
          "the "
          "tokenizer belong to the model?)",
          config.vocab_size,
          id);
    }
  }
}

void check_options(const GenerateOptions& options) {
  if (options.max_tokens < 0) {
    reject("generate", "expected max_tokens >= 0; got {}", options.max_tokens);
  }
  if (!(options.temperature >= 0 && std::isfinite(options.temperature))) {
    reject(
        "generate", "expected temperature >= 0; got {}", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    reject("generate", "expected top_p in (0, 1]; got {}", options.top_p);
  }
}

// Logits [vocab] behind the last of the tokens, on the host.
std::vector<float> next_logits(
    const ModelConfig& config,
    const Parameters& parameters,
    std::span<const std::int32_t> tokens,
    const ForwardOptions& options,
    KvCache& cache) {
  const auto hidden =
      hidden_states(config, parameters, row(tokens), options, &cache);
  const auto last = mx::take(hidden, int(tokens.size()) - 1, 1);
  auto logits = mx::contiguous(
      mx::astype(logits_of(config, parameters, last), mx::float32));
  logits.eval();
  const auto* data = logits.data<float>();
  return {data, data + logits.size()};
}

} // namespace

TokenIds generate(
    const ModelConfig& config,
    const Parameters& parameters,
    const TokenIds& prompt,
    const GenerateOptions& options,
    const std::function<bool(std::int32_t)>& on_token) {
  check_tokens("generate", config, prompt);
  check_options(options);
  std::mt19937_64 random(options.seed);
  KvCache cache(config.num_hidden_layers);
  TokenIds generated;
  std::span<const std::int32_t> fresh(prompt);
  while (int(generated.size()) < options.max_tokens) {
    const auto logits =
        next_logits(config, parameters, fresh, options.forward, cache);
    // 53 bits, the same number on every machine.
    const double uniform = double(random() >> 11) * 0x1p-53;
    const auto token =
        sample(logits, options.temperature, options.top_p, uniform);
    if (std::ranges::find(config.eos_token_ids, token) !=
        config.eos_token_ids.end()) {
      break;
    }
    generated.push_back(token);
    if (!on_token(token)) {
      break;
    }
    fresh = std::span(generated).last(1);
  }
  return generated;
}

std::vector<float> score(
    const ModelConfig& config,
    const Parameters& parameters,
    const TokenIds& tokens,
    const ForwardOptions& options) {
  check_tokens("score", config, tokens);
  const int count = int(tokens.size()) - 1;
  const auto inputs = std::span(tokens).first(std::size_t(std::max(count, 1)));
  const auto hidden = hidden_states(config, parameters, row(inputs), options);
  // Logits of a few positions at a time: 64 MiB, where those of 2048 positions
  // of Qwen2's vocabulary take 1.2 GB.
  const int step = std::max(1, (1 << 24) / config.vocab_size);
  std::vector<float> logprobs;
  for (int begin = 0; begin < count; begin += step) {
    const int n = std::min(step, count - begin);
    const auto logits = mx::astype(
        logits_of(
            config,
            parameters,
            mx::slice(
                hidden, {0, begin, 0}, {1, begin + n, config.hidden_size})),
        mx::float32);
    const auto targets = mx::array(tokens.data() + begin + 1, {1, n, 1});
    auto chunk = mx::contiguous(mx::subtract(
        mx::take_along_axis(logits, targets, -1),
        mx::logsumexp(logits, -1, true)));
    chunk.eval();
    logprobs.insert(
        logprobs.end(), chunk.data<float>(), chunk.data<float>() + n);
  }
  return logprobs;
}

} // namespace tessera
