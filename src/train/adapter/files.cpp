#include <cmath>

#include "model/finite.h"
#include "model/safetensors.h"
#include "tessera/error.h"
#include "tessera/lora.h"
#include "train/adapter/forms.h"
#include "train/adapter/modules.h"
#include "train/run/files.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

constexpr auto config_file = "adapter_config.json";

// Both forms have a config of the same name; peft_type is PEFT's alone.
LoraConfig parse_config(
    const nlohmann::json& json,
    const ModelConfig& model,
    const std::string& file) {
  return json.contains("peft_type") ? peft::read_config(json, model, file)
                                    : mlx_lm::read_config(json, model, file);
}

void check_shapes(
    const Parameters& parameters,
    const std::map<std::string, mx::Shape>& shapes,
    const fs::path& file) {
  for (const auto& [name, shape] : shapes) {
    const auto found = parameters.find(name);
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
}

} // namespace

Parameters read_lora(
    const fs::path& file, const ModelConfig& model, const LoraConfig& lora) {
  Parameters parameters = peft::from_peft(read_safetensors(file));
  const auto shapes = lora_shapes(model, lora);
  check_shapes(parameters, shapes, file);
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
    if (!is_finite(array)) {
      reject(
          "lora",
          "expected finite numbers in {} of {}; got NaN or infinity",
          name,
          file.string());
    }
  }
  return parameters;
}

namespace {

// Of the metadata of a file's weights; mlx-lm and PEFT leave them alone.
constexpr auto base_key = "base_model";
constexpr auto fingerprint_key = "base_model_fingerprint";

BaseModel read_base(const fs::path& file) {
  auto metadata = read_safetensors_metadata(file);
  return {metadata[base_key], metadata[fingerprint_key]};
}

std::map<std::string, std::string> metadata_of(const BaseModel& base) {
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!base.fingerprint.empty()) {
    metadata[base_key] = base.name;
    metadata[fingerprint_key] = base.fingerprint;
  }
  return metadata;
}

} // namespace

Adapter load_adapter(const fs::path& folder, const ModelConfig& model) {
  const auto file = folder / config_file;
  const auto json = train::read_json(file);
  const auto lora = parse_config(json, model, file.string());
  const auto weights = folder /
      (json.contains("peft_type") ? peft::weights_file : mlx_lm::weights_file);
  return {lora, read_lora(weights, model, lora), read_base(weights)};
}

void save_adapter(
    const fs::path& folder, const ModelConfig& model, const Adapter& adapter) {
  write_safetensors(
      folder / mlx_lm::weights_file,
      adapter.parameters,
      metadata_of(adapter.base));
  train::write_json(
      folder / config_file, mlx_lm::config_json(model, adapter.config));
}

void save_peft_adapter(
    const fs::path& folder, const ModelConfig& model, const Adapter& adapter) {
  write_safetensors(
      folder / peft::weights_file,
      peft::to_peft(adapter.parameters),
      metadata_of(adapter.base));
  train::write_json(
      folder / config_file,
      peft::config_json(model, adapter.config, adapter.base.name));
}

namespace {

void check_factor(float given, float config, const fs::path& file) {
  if (std::abs(given - config) > 1e-6f * std::abs(config)) {
    reject(
        "lora",
        "expected the scale {} of {}; got {}; give --lora-scale {}",
        config,
        file.string(),
        given,
        config);
  }
}

} // namespace

Adapter start_from_adapter(
    const fs::path& path, const ModelConfig& model, const LoraConfig& lora) {
  const bool is_folder = fs::is_directory(path);
  const auto config = (is_folder ? path : path.parent_path()) / config_file;
  bool is_peft = false;
  if (fs::is_regular_file(config)) {
    const auto json = train::read_json(config);
    is_peft = json.contains("peft_type");
    const auto its = parse_config(json, model, config.string());
    check_factor(lora.factor(), its.factor(), config);
  }
  const auto* inside = is_peft ? peft::weights_file : mlx_lm::weights_file;
  const auto file = is_folder ? path / inside : path;
  return {lora, read_lora(file, model, lora), read_base(file)};
}

} // namespace tessera
