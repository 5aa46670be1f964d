#include "model/config/windows.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera {

namespace {

constexpr auto slides = "sliding_attention";
constexpr auto sees_all = "full_attention";

bool is_qwen(const ModelConfig& config) {
  return config.architecture == Architecture::qwen2 ||
      config.architecture == Architecture::qwen3;
}

// Keys that a query sees in the layers that slide.
std::optional<int> read_window(
    ConfigFields& fields, const ModelConfig& config) {
  const bool asked = fields.boolean("use_sliding_window").value_or(false);
  if (asked && !is_qwen(config)) {
    fields.refuse("use_sliding_window", "false");
  }
  const auto given = fields.integer("sliding_window");
  if (config.architecture == Architecture::llama && given) {
    fields.refuse("sliding_window", "null");
  }
  // Qwen writes its window even where it is not used.
  const bool used = config.architecture == Architecture::mistral || asked;
  if (!used || (!given && fields.mentions("sliding_window"))) {
    return std::nullopt;
  }
  constexpr int by_default = 4096;
  return fields.size("sliding_window", INT32_MAX, by_default);
}

// What layer_types is where it is not said.
std::vector<std::string> default_types(
    ConfigFields& fields, const ModelConfig& config, bool has_window) {
  constexpr std::int64_t max_window_layers = 28;
  std::int64_t first = 0;
  if (is_qwen(config)) {
    first = fields.integer("max_window_layers").value_or(max_window_layers);
  }
  std::vector<std::string> types;
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    types.emplace_back(has_window && i >= first ? slides : sees_all);
  }
  return types;
}

std::vector<std::string> read_types(
    ConfigFields& fields, const ModelConfig& config, bool has_window) {
  const auto types = default_types(fields, config, has_window);
  const auto& given = fields.get("layer_types");
  if (given.is_null() || given == nlohmann::json(types)) {
    return types;
  }
  const bool known =
      given.is_array() && given.size() == types.size() &&
      std::ranges::all_of(given, [&](const auto& type) {
        return type == sees_all || (type == slides && has_window);
      });
  if (!is_qwen(config) || !known) {
    fields.refuse(
        "layer_types",
        has_window && is_qwen(config)
            ? fmt::format("\"{}\" or \"{}\" for each layer", sees_all, slides)
            : fmt::format("\"{}\" for every layer", types.front()));
  }
  return given;
}

} // namespace

std::vector<std::optional<int>> read_windows(
    ConfigFields& fields, const ModelConfig& config) {
  const auto window = read_window(fields, config);
  const auto types = read_types(fields, config, window.has_value());
  if (std::ranges::count(types, slides) == 0) {
    return {};
  }
  std::vector<std::optional<int>> windows;
  for (const auto& type : types) {
    windows.push_back(type == slides ? window : std::nullopt);
  }
  return windows;
}

std::optional<Window> ModelConfig::window(int layer, int keys) const {
  const auto i = std::size_t(layer);
  if (i >= windows.size() || !windows[i] || *windows[i] >= keys) {
    return std::nullopt;
  }
  return Window{*windows[i] - 1, 0};
}

} // namespace tessera
