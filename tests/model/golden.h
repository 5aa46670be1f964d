#pragma once

#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/file.h"
#include "model/json.h"
#include "model/safetensors.h"
#include "tessera/model.h"

namespace tessera {

// A folder that scripts/golden wrote: a model, and what transformers and peft
// compute from it.
struct Golden {
  ModelConfig config;
  Parameters parameters; // float32, with the LoRA arrays
  Parameters expected;   // "logits", "gradient.*", "full.*"
  nlohmann::json numbers;
  ForwardOptions forward;
};

inline std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(TESSERA_GOLDEN) / "model" / name;
}

inline const std::array<std::string, 8> golden_names = {
    "llama3",
    "llama_linear",
    "llama_bias",
    "mistral",
    "qwen2",
    "qwen2_window",
    "qwen3",
    "qwen3_window"};

inline Golden load_golden(const std::filesystem::path& folder) {
  Golden golden;
  golden.config = read_config(folder / "config.json");
  golden.parameters = load_parameters(folder, golden.config, mx::float32);
  golden.expected = read_safetensors(folder / "expected.safetensors");
  const auto file = folder / "expected.json";
  golden.numbers = parse_object(read_file(file, "golden"), file.string(), "");
  golden.forward.lora_scale = golden.numbers["lora_scale"];
  return golden;
}

// The arrays of `from` whose names start with `prefix`, without it.
inline Parameters with_prefix(
    const Parameters& from, const std::string& prefix) {
  Parameters found;
  for (const auto& [name, array] : from) {
    if (name.starts_with(prefix)) {
      found.emplace(name.substr(prefix.size()), array);
    }
  }
  return found;
}

// Token ids [B, N + 1].
inline mx::array batch_of(const nlohmann::json& rows) {
  std::vector<std::int32_t> ids;
  for (const auto& row : rows) {
    ids.insert(ids.end(), row.begin(), row.end());
  }
  const int count = int(rows.size());
  return mx::array(ids.data(), {count, int(ids.size()) / count});
}

inline mx::array columns(const mx::array& x, int begin, int end) {
  return mx::slice(x, {0, begin}, {x.shape(0), end});
}

// Mean cross-entropy of each token after the first of a batch [B, N + 1].
inline mx::array loss_of(
    const ModelConfig& config,
    const Parameters& parameters,
    const mx::array& batch,
    const ForwardOptions& options) {
  const int N = batch.shape(1) - 1;
  const auto logits = logits_of(
      config,
      parameters,
      hidden_states(config, parameters, columns(batch, 0, N), options));
  const auto targets = mx::expand_dims(columns(batch, 1, N + 1), -1);
  return mx::mean(mx::subtract(
      mx::logsumexp(logits, -1, true),
      mx::take_along_axis(logits, targets, -1)));
}

struct LossAndGradients {
  float loss;
  Parameters gradients;
};

// The gradient of each array named in `by`.
inline LossAndGradients gradients_of(
    const ModelConfig& config,
    const Parameters& parameters,
    const Parameters& by,
    const mx::array& batch,
    const ForwardOptions& options) {
  std::vector<std::string> names;
  std::vector<mx::array> values;
  std::vector<int> indices;
  for (const auto& [name, value] : by) {
    indices.push_back(int(names.size()));
    names.push_back(name);
    values.push_back(value);
  }
  const auto loss = [&](const std::vector<mx::array>& arrays) {
    auto all = parameters;
    for (std::size_t i = 0; i < names.size(); ++i) {
      all.insert_or_assign(names[i], arrays[i]);
    }
    return std::vector{loss_of(config, all, batch, options)};
  };
  auto [value, gradients] = mx::value_and_grad(loss, indices)(values);
  auto all = gradients;
  all.push_back(value[0]);
  mx::eval(all);
  LossAndGradients result{value[0].item<float>(), {}};
  for (std::size_t i = 0; i < names.size(); ++i) {
    result.gradients.emplace(names[i], gradients[i]);
  }
  return result;
}

// The largest difference as a part of the largest magnitude expected.
inline double relative_difference(const mx::array& got, const mx::array& want) {
  auto difference = mx::max(mx::abs(mx::subtract(got, want)));
  auto magnitude = mx::max(mx::abs(want));
  return double(difference.item<float>()) / double(magnitude.item<float>());
}

} // namespace tessera
