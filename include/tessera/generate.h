#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tessera/model.h"
#include "tessera/tokenizer.h"

namespace tessera {

struct GenerateOptions {
  int max_tokens = 100;
  float temperature = 0.0f; // 0: the most likely token
  float top_p = 1.0f;
  std::uint64_t seed = 0;
  ForwardOptions forward;
};

// Continues `prompt` token by token with a KV cache, until `max_tokens`, an end
// token of the config, or `on_token` returns false. Returns what it generated,
// the end token not included.
TokenIds generate(
    const ModelConfig& config,
    const Parameters& parameters,
    const TokenIds& prompt,
    const GenerateOptions& options,
    const std::function<bool(std::int32_t)>& on_token);

// Log-probability (natural logarithm) of each token after the first.
std::vector<float> score(
    const ModelConfig& config,
    const Parameters& parameters,
    const TokenIds& tokens,
    const ForwardOptions& options = {});

} // namespace tessera
