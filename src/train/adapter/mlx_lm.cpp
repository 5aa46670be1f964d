#include <algorithm>

#include "tessera/error.h"
#include "train/adapter/forms.h"
#include "train/adapter/modules.h"

namespace tessera::mlx_lm {

namespace {

// mlx-lm takes layers[-num_layers:], which is all of them for 0, for less and
// for more than there are.
int num_layers_of(const nlohmann::json& json, const ModelConfig& model) {
  const auto given = json.value("num_layers", -1);
  return given < 1 || given >= model.num_hidden_layers ? -1 : given;
}

LoraConfig parse(const nlohmann::json& json, const ModelConfig& model) {
  LoraConfig lora;
  const auto& given = json.at("lora_parameters");
  lora.num_layers = num_layers_of(json, model);
  // As a double first: a rank beyond int would wrap around.
  lora.rank =
      static_cast<int>(std::clamp(given.at("rank").get<double>(), -1.0, 1e9));
  lora.dropout = given.value("dropout", 0.0);
  lora.keys = {"all-linear"};
  if (given.contains("keys") && !given.at("keys").is_null()) {
    lora.keys = given.at("keys").get<std::vector<std::string>>();
  }
  if (given.contains("scale")) {
    lora.scale = given.at("scale").get<double>();
  } else {
    lora.alpha = given.at("alpha").get<double>();
  }
  return lora;
}

} // namespace

LoraConfig read_config(
    const nlohmann::json& json,
    const ModelConfig& model,
    const std::string& file) {
  try {
    if (auto kind = json.value("fine_tune_type", "lora"); kind != "lora") {
      reject("lora", "expected fine_tune_type lora; got {} in {}", kind, file);
    }
    return parse(json, model);
  } catch (const nlohmann::json::exception& error) {
    reject(
        "lora",
        "expected num_layers and lora_parameters {{rank, scale, dropout, "
        "keys}} in {}; got: {}",
        file,
        error.what());
  }
}

nlohmann::json config_json(const ModelConfig& model, const LoraConfig& lora) {
  return {
      {"fine_tune_type", "lora"},
      {"num_layers", lora.num_layers},
      {"lora_parameters",
       {{"rank", lora.rank},
        {"scale", lora.scale ? *lora.scale : lora.alpha / lora.rank},
        {"dropout", lora.dropout},
        {"keys", layer_keys(model, lora)}}}};
}

} // namespace tessera::mlx_lm
