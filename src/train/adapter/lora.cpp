#include "tessera/lora.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tessera/error.h"
#include "text/hash.h"
#include "train/adapter/modules.h"
#include "train/order.h"

namespace tessera {

namespace {

constexpr std::string_view all_linear = "all-linear";

struct Linear {
  std::string name; // "model.layers.0.self_attn.q_proj"
  std::string key;  // "self_attn.q_proj"
  int layer = 0;
  int in = 0;
  int out = 0;
};

// The linear modules of the model's layers, in their order.
std::vector<Linear> linears(const ModelConfig& model) {
  constexpr std::string_view prefix = "model.layers.";
  constexpr std::string_view suffix = ".weight";
  std::vector<Linear> result;
  for (const auto& [name, shape] : parameter_shapes(model)) {
    if (shape.size() == 2 && name.starts_with(prefix) &&
        name.ends_with(suffix)) {
      const auto module = name.substr(0, name.size() - suffix.size());
      result.push_back(
          {module,
           module.substr(module.find('.', prefix.size()) + 1),
           std::stoi(name.substr(prefix.size())),
           shape[1],
           shape[0]});
    }
  }
  std::stable_sort(
      result.begin(), result.end(), [](const Linear& a, const Linear& b) {
        return a.layer < b.layer;
      });
  return result;
}

// "q_proj" and "self_attn.q_proj" name the module self_attn.q_proj of a layer.
bool names(std::string_view key, std::string_view module) {
  return key == all_linear || key == module ||
      (module.ends_with(key) && module.size() > key.size() &&
       module[module.size() - key.size() - 1] == '.');
}

// Beyond any use; keeps a mistyped rank from asking for all memory.
constexpr int largest_rank = 16384;

void check(const ModelConfig& model, const LoraConfig& lora) {
  if (lora.rank < 1 || lora.rank > largest_rank) {
    reject(
        "lora", "expected a rank in 1 .. {}; got {}", largest_rank, lora.rank);
  }
  if (!(lora.dropout >= 0 && lora.dropout < 1)) {
    reject("lora", "expected a dropout in [0, 1); got {}", lora.dropout);
  }
  if (!std::isfinite(lora.factor())) {
    reject("lora", "expected a finite scale; got {}", lora.factor());
  }
  if (lora.num_layers != -1 &&
      (lora.num_layers < 1 || lora.num_layers > model.num_hidden_layers)) {
    reject(
        "lora",
        "expected num_layers -1 or 1 to {}; got {}",
        model.num_hidden_layers,
        lora.num_layers);
  }
  if (lora.keys.empty()) {
    reject("lora", "expected at least one target module; got none");
  }
}

std::vector<Linear> targets(const ModelConfig& model, const LoraConfig& lora) {
  check(model, lora);
  std::vector<Linear> all = linears(model);
  for (const std::string& key : lora.keys) {
    if (std::none_of(all.begin(), all.end(), [&](const Linear& linear) {
          return names(key, linear.key);
        })) {
      reject(
          "lora",
          "expected target modules such as q_proj, mlp.up_proj or all-linear; "
          "got {}, which names no linear module of a layer",
          key);
    }
  }
  const int first = first_layer(model, lora);
  std::erase_if(all, [&](const Linear& linear) {
    return linear.layer < first ||
        std::none_of(lora.keys.begin(), lora.keys.end(), [&](const auto& key) {
             return names(key, linear.key);
           });
  });
  return all;
}

} // namespace

float LoraConfig::factor() const {
  return static_cast<float>(scale ? *scale : alpha / rank);
}

std::vector<std::string> lora_modules(
    const ModelConfig& model, const LoraConfig& lora) {
  std::vector<std::string> modules;
  for (const Linear& linear : targets(model, lora)) {
    modules.push_back(linear.name);
  }
  return modules;
}

std::map<std::string, mx::Shape> lora_shapes(
    const ModelConfig& model, const LoraConfig& lora) {
  std::map<std::string, mx::Shape> shapes;
  for (const Linear& linear : targets(model, lora)) {
    shapes[linear.name + ".lora_a"] = {linear.in, lora.rank};
    shapes[linear.name + ".lora_b"] = {lora.rank, linear.out};
  }
  return shapes;
}

Parameters init_lora(
    const ModelConfig& model, const LoraConfig& lora, std::uint64_t seed) {
  Parameters parameters;
  for (const auto& [name, shape] : lora_shapes(model, lora)) {
    if (name.ends_with(".lora_b")) {
      parameters.emplace(name, mx::zeros(shape, mx::float32));
      continue;
    }
    float bound = 1 / std::sqrt(static_cast<float>(shape[0]));
    auto key = mx::random::key(train::derive_seed(seed, text::fnv1a(name)));
    parameters.emplace(
        name, mx::random::uniform(-bound, bound, shape, mx::float32, key));
  }
  return parameters;
}

std::vector<std::string> layer_keys(
    const ModelConfig& model, const LoraConfig& lora) {
  std::set<std::string> keys;
  for (const Linear& linear : targets(model, lora)) {
    keys.insert(linear.key);
  }
  return {keys.begin(), keys.end()};
}

int first_layer(const ModelConfig& model, const LoraConfig& lora) {
  return lora.num_layers < 0 ? 0 : model.num_hidden_layers - lora.num_layers;
}

} // namespace tessera
