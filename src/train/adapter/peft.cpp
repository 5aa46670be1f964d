#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "model/config/fields.h"
#include "tessera/error.h"
#include "train/adapter/forms.h"
#include "train/adapter/modules.h"

namespace tessera::peft {

namespace {

using nlohmann::json;

// Says nothing of what the adapter computes.
constexpr auto harmless = std::to_array<std::string_view>({
    "auto_mapping",
    "base_model_name_or_path",
    "exclude_modules", // target_modules and the arrays say what is adapted
    "inference_mode",
    "layers_pattern",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
});

// Neither asked for nor given: null, false, {}, [] and "".
bool is_off(const json& value) {
  return value.is_null() || value == false ||
      (!value.is_number() && !value.is_boolean() && value.empty());
}

// The fields that ask for something.
json without_off(const json& object) {
  json result = json::object();
  for (const auto& [name, value] : object.items()) {
    if (!is_off(value)) {
      result[name] = value;
    }
  }
  return result;
}

std::vector<std::string> read_targets(ConfigFields& fields) {
  constexpr auto expected = "\"all-linear\" or a list of modules";
  const auto& targets = fields.get("target_modules");
  if (targets == "all-linear") {
    return {"all-linear"};
  }
  if (!targets.is_array() || !std::ranges::all_of(targets, [](const auto& t) {
        return t.is_string();
      })) {
    fields.refuse("target_modules", expected);
  }
  return targets;
}

// Ours are the last layers of the model.
int read_layers(ConfigFields& fields, const ModelConfig& model) {
  const auto& given = fields.get("layers_to_transform");
  if (given.is_null()) {
    return -1;
  }
  const json layers = given.is_array() ? given : json::array({given});
  std::vector<int> last(std::min<std::size_t>(
      layers.size(), static_cast<std::size_t>(model.num_hidden_layers)));
  const auto count = static_cast<int>(last.size());
  std::iota(last.begin(), last.end(), model.num_hidden_layers - count);
  auto sorted = layers;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != json(last)) {
    fields.refuse(
        "layers_to_transform",
        fmt::format(
            "the last layers of the model's {}", model.num_hidden_layers));
  }
  return count == model.num_hidden_layers ? -1 : count;
}

// Some ways to begin change the base as well (PiSSA, OLoRA, CorDA, LoftQ).
void check_start(ConfigFields& fields) {
  const auto& start = fields.get("init_lora_weights");
  if (!start.is_null() && start != true && start != "gaussian" &&
      start != "eva" && start != "orthogonal") {
    fields.refuse("init_lora_weights", "one that leaves the base as it is");
  }
}

void check_fixed(ConfigFields& fields) {
  for (const auto& [name, value] :
       {std::pair{"peft_type", "LORA"},
        std::pair{"task_type", "CAUSAL_LM"},
        std::pair{"bias", "none"}}) {
    if (fields.text(name).value_or(value) != value) {
      fields.refuse(name, json(value).dump());
    }
  }
}

// A whole number where it is one, as PEFT writes it.
json number(double value) {
  const auto whole = std::round(value);
  return whole == value && std::abs(value) < 1e9
      ? json(static_cast<std::int64_t>(whole))
      : json(value);
}

json layers_json(const ModelConfig& model, const LoraConfig& lora) {
  const int first = first_layer(model, lora);
  if (first == 0) {
    return nullptr;
  }
  std::vector<int> layers(
      static_cast<std::size_t>(model.num_hidden_layers - first));
  std::iota(layers.begin(), layers.end(), first);
  return layers;
}

struct Factor {
  std::string_view ours;
  std::string_view theirs;
};

constexpr auto factors = std::to_array<Factor>(
    {{".lora_a", ".lora_A.weight"}, {".lora_b", ".lora_B.weight"}});
constexpr std::string_view prefix = "base_model.model.";

std::string replace_end(
    std::string_view name, std::string_view end, std::string_view by) {
  name.remove_suffix(end.size());
  return std::string(name) + std::string(by);
}

} // namespace

LoraConfig read_config(
    const json& object, const ModelConfig& model, const std::string& file) {
  const auto asked = without_off(object);
  ConfigFields fields(asked, file);
  check_fixed(fields);
  check_start(fields);
  constexpr int largest_rank = 1 << 30;
  LoraConfig lora;
  lora.rank = fields.size("r", largest_rank);
  lora.alpha = fields.number("lora_alpha").value_or(8.0); // PEFT's default
  lora.dropout = fields.number("lora_dropout").value_or(0.0);
  lora.keys = read_targets(fields);
  lora.num_layers = read_layers(fields, model);
  // Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with
  // LoRA" (2023): alpha / sqrt(rank).
  if (fields.boolean("use_rslora").value_or(false)) {
    lora.scale = lora.alpha / std::sqrt(lora.rank);
  }
  fields.check_unread(harmless);
  return lora;
}

json config_json(
    const ModelConfig& model,
    const LoraConfig& lora,
    const std::string& base_model) {
  return {
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path",
       base_model.empty() ? json(nullptr) : json(base_model)},
      {"inference_mode", true},
      {"r", lora.rank},
      {"lora_alpha", number(lora.scale ? *lora.scale * lora.rank : lora.alpha)},
      {"lora_dropout", lora.dropout},
      {"target_modules", layer_keys(model, lora)},
      {"layers_to_transform", layers_json(model, lora)},
      {"layers_pattern", nullptr},
      {"bias", "none"},
      {"fan_in_fan_out", false},
      {"use_rslora", false},
      {"use_dora", false},
      {"modules_to_save", nullptr},
      {"init_lora_weights", true}};
}

Parameters from_peft(const Parameters& arrays) {
  Parameters result;
  for (const auto& [name, array] : arrays) {
    auto key = name;
    auto value = array;
    for (const auto& [ours, theirs] : factors) {
      if (name.starts_with(prefix) && name.ends_with(theirs) &&
          array.ndim() == 2) {
        key = replace_end(name.substr(prefix.size()), theirs, ours);
        value = mx::contiguous(mx::transpose(array));
      }
    }
    result.emplace(key, value);
  }
  return result;
}

Parameters to_peft(const Parameters& arrays) {
  Parameters result;
  for (const auto& [name, array] : arrays) {
    for (const auto& [ours, theirs] : factors) {
      if (name.ends_with(ours)) {
        result.emplace(
            std::string(prefix) + replace_end(name, ours, theirs),
            mx::contiguous(mx::transpose(array)));
      }
    }
  }
  return result;
}

} // namespace tessera::peft
