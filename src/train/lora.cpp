#include "tessera/lora.h"

#include <algorithm>
#include <cmath>

#include "model/safetensors.h"
#include "tessera/error.h"
#include "text/hash.h"
#include "train/order.h"
#include "train/run/files.h"

namespace tessera {

namespace {

constexpr std::string_view all_linear = "all-linear";

struct Linear {
  std::string name; // "model.layers.0.self_attn.q_proj"
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
      result.push_back(
          {name.substr(0, name.size() - suffix.size()),
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

// "q_proj" and "self_attn.q_proj" name model.layers.0.self_attn.q_proj.
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
          return names(key, linear.name);
        })) {
      reject(
          "lora",
          "expected target modules such as q_proj, mlp.up_proj or all-linear; "
          "got {}, which names no linear module of a layer",
          key);
    }
  }
  int first =
      lora.num_layers < 0 ? 0 : model.num_hidden_layers - lora.num_layers;
  std::erase_if(all, [&](const Linear& linear) {
    return linear.layer < first ||
        std::none_of(lora.keys.begin(), lora.keys.end(), [&](const auto& key) {
             return names(key, linear.name);
           });
  });
  return all;
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

// The modules' names within a layer, as mlx-lm writes its keys.
std::vector<std::string> layer_keys(
    const ModelConfig& model, const LoraConfig& lora) {
  std::vector<std::string> keys;
  for (const Linear& linear : targets(model, lora)) {
    auto layer = fmt::format("model.layers.{}.", linear.layer);
    keys.push_back(linear.name.substr(layer.size()));
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

LoraConfig parse_adapter_config(
    const nlohmann::json& json, const std::string& file) {
  LoraConfig lora;
  try {
    if (auto kind = json.value("fine_tune_type", "lora"); kind != "lora") {
      reject("lora", "expected fine_tune_type lora; got {} in {}", kind, file);
    }
    const auto& given = json.at("lora_parameters");
    lora.num_layers = json.value("num_layers", -1);
    // As a double first: a rank beyond int would wrap around.
    lora.rank =
        static_cast<int>(std::clamp(given.at("rank").get<double>(), -1.0, 1e9));
    lora.dropout = given.value("dropout", 0.0);
    lora.keys = given.value("keys", std::vector{std::string(all_linear)});
    if (given.contains("scale")) {
      lora.scale = given.at("scale").get<double>();
    } else {
      lora.alpha = given.at("alpha").get<double>();
    }
  } catch (const nlohmann::json::exception& error) {
    reject(
        "lora",
        "expected num_layers and lora_parameters {{rank, scale, dropout, "
        "keys}} "
        "in {}; got: {}",
        file,
        error.what());
  }
  return lora;
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

Parameters read_lora(
    const std::filesystem::path& file,
    const ModelConfig& model,
    const LoraConfig& lora) {
  Parameters parameters = read_safetensors(file);
  auto shapes = lora_shapes(model, lora);
  for (const auto& [name, shape] : shapes) {
    auto found = parameters.find(name);
    if (found == parameters.end()) {
      reject("lora", "expected {} in {}; it is missing", name, file.string());
    }
    if (found->second.shape() != shape) {
      reject(
          "lora",
          "expected {} of shape [{}]; got [{}] in {}",
          name,
          fmt::join(shape, ", "),
          fmt::join(found->second.shape(), ", "),
          file.string());
    }
  }
  for (auto& [name, array] : parameters) {
    if (!shapes.contains(name)) {
      reject(
          "lora",
          "expected the parameters that the adapter's config names; got {} in "
          "{}",
          name,
          file.string());
    }
    array = mx::astype(array, mx::float32);
    array.eval();
  }
  return parameters;
}

Adapter load_adapter(
    const std::filesystem::path& folder, const ModelConfig& model) {
  auto config = folder / "adapter_config.json";
  LoraConfig lora =
      parse_adapter_config(train::read_json(config), config.string());
  return {lora, read_lora(folder / "adapters.safetensors", model, lora)};
}

void save_adapter(
    const std::filesystem::path& folder,
    const ModelConfig& model,
    const Adapter& adapter) {
  const LoraConfig& lora = adapter.config;
  write_safetensors(folder / "adapters.safetensors", adapter.parameters);
  train::write_json(
      folder / "adapter_config.json",
      {{"fine_tune_type", "lora"},
       {"num_layers", lora.num_layers},
       {"lora_parameters",
        {{"rank", lora.rank},
         {"scale", lora.scale ? *lora.scale : lora.alpha / lora.rank},
         {"dropout", lora.dropout},
         {"keys", layer_keys(model, lora)}}}});
}

} // namespace tessera
