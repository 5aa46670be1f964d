#include <array>
#include <set>

#include "model/file.h"
#include "model/finite.h"
#include "model/safetensors.h"
#include "model/weights/locate.h"
#include "model/weights/shards.h"
#include "tessera/error.h"
#include "tessera/model.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

constexpr auto op = "weights";
constexpr auto embedding = "model.embed_tokens.weight";
constexpr auto head = "lm_head.weight";

struct LinearShape {
  int in;
  int out;
  bool bias;
};

// In the order of linear_names.
std::array<LinearShape, linear_names.size()> linear_shapes(
    const ModelConfig& c) {
  const int q = c.num_attention_heads * c.head_dim;
  const int kv = c.num_key_value_heads * c.head_dim;
  return {{
      {c.hidden_size, q, c.qkv_bias},
      {c.hidden_size, kv, c.qkv_bias},
      {c.hidden_size, kv, c.qkv_bias},
      {q, c.hidden_size, c.o_bias},
      {c.hidden_size, c.intermediate_size, c.mlp_bias},
      {c.hidden_size, c.intermediate_size, c.mlp_bias},
      {c.intermediate_size, c.hidden_size, c.mlp_bias},
  }};
}

} // namespace

std::map<std::string, mx::Shape> parameter_shapes(const ModelConfig& config) {
  std::map<std::string, mx::Shape> shapes;
  shapes[embedding] = {config.vocab_size, config.hidden_size};
  shapes["model.norm.weight"] = {config.hidden_size};
  if (!config.tie_word_embeddings) {
    shapes[head] = {config.vocab_size, config.hidden_size};
  }
  const auto linears = linear_shapes(config);
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    const auto layer = fmt::format("model.layers.{}.", i);
    shapes[layer + "input_layernorm.weight"] = {config.hidden_size};
    shapes[layer + "post_attention_layernorm.weight"] = {config.hidden_size};
    if (config.qk_norm) {
      shapes[layer + "self_attn.q_norm.weight"] = {config.head_dim};
      shapes[layer + "self_attn.k_norm.weight"] = {config.head_dim};
    }
    for (std::size_t j = 0; j < linears.size(); ++j) {
      const auto module = layer + std::string(linear_names[j]);
      shapes[module + ".weight"] = {linears[j].out, linears[j].in};
      if (linears[j].bias) {
        shapes[module + ".bias"] = {linears[j].out};
      }
    }
  }
  return shapes;
}

namespace {

std::string text_of(const mx::Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

// Old checkpoints hold the rotary frequencies, which follow from the config.
bool is_ignored(const std::string& name) {
  return name.starts_with("model.layers.") &&
      name.ends_with(".self_attn.rotary_emb.inv_freq");
}

void check_present(
    const std::map<std::string, mx::Shape>& shapes,
    const TensorLocations& locations,
    const fs::path& folder) {
  for (const auto& [name, shape] : shapes) {
    const auto found = locations.find(name);
    if (found == locations.end()) {
      reject(
          op,
          "expected tensor {} {} in {}; got none",
          name,
          text_of(shape),
          folder.string());
    }
    if (found->second.info.shape != shape) {
      reject(
          op,
          "expected tensor {} {} in {}; got {}",
          name,
          text_of(shape),
          found->second.file.string(),
          text_of(found->second.info.shape));
    }
  }
}

void check_known(
    const std::map<std::string, mx::Shape>& shapes,
    const TensorLocations& locations) {
  for (const auto& [name, located] : locations) {
    if (!shapes.contains(name) && !is_ignored(name)) {
      reject(
          op,
          "expected only the tensors that config.json asks for in {}; got {}",
          located.file.string(),
          name);
    }
  }
}

mx::array converted(const mx::array& array, mx::Dtype dtype) {
  auto result = mx::astype(array, dtype);
  // One tensor at a time, so that never more than one stands there twice.
  result.eval();
  return result;
}

Parameters read_all(
    const std::map<std::string, mx::Shape>& shapes,
    const TensorLocations& locations,
    mx::Dtype dtype) {
  std::set<fs::path> files;
  for (const auto& [name, located] : locations) {
    files.insert(located.file);
  }
  Parameters parameters;
  for (const auto& file : files) {
    auto arrays = read_safetensors(file);
    while (!arrays.empty()) {
      const auto node = arrays.extract(arrays.begin());
      if (!shapes.contains(node.key())) {
        continue;
      }
      auto array = converted(node.mapped(), dtype);
      if (!is_finite(array)) {
        reject(
            op,
            "expected finite numbers in tensor {} of {}; got NaN or infinity{}",
            node.key(),
            file.string(),
            dtype == mx::float16 ? " (float16 ends at 65504: try --dtype)"
                                 : "");
      }
      parameters.emplace(node.key(), std::move(array));
    }
  }
  return parameters;
}

} // namespace

Parameters load_parameters(
    const fs::path& folder, const ModelConfig& config, mx::Dtype dtype) {
  auto shapes = parameter_shapes(config);
  const auto locations = locate_tensors(folder);
  // Some write the tied head a second time.
  const bool second_head =
      config.tie_word_embeddings && locations.contains(head);
  if (second_head) {
    shapes[head] = shapes[embedding];
  }
  check_present(shapes, locations, folder);
  check_known(shapes, locations);

  auto parameters = read_all(shapes, locations, dtype);
  if (second_head) {
    auto same = mx::array_equal(parameters.at(head), parameters.at(embedding));
    if (!same.item<bool>()) {
      reject(
          op,
          "expected {} to equal {} in {} (tie_word_embeddings is true); got "
          "other values",
          head,
          embedding,
          folder.string());
    }
    parameters.erase(head);
  }
  return parameters;
}

Parameters init_parameters(
    const ModelConfig& config, mx::Dtype dtype, std::uint64_t seed) {
  const auto shapes = parameter_shapes(config);
  const auto keys =
      mx::random::split(mx::random::key(seed), int(shapes.size()));
  Parameters parameters;
  int i = 0;
  for (const auto& [name, shape] : shapes) {
    const auto key = mx::take(keys, i++, 0);
    if (shape.size() == 2) {
      parameters.emplace(
          name,
          converted(
              mx::random::normal(
                  shape, mx::float32, 0.0f, config.initializer_range, key),
              dtype));
    } else {
      parameters.emplace(
          name,
          name.ends_with(".bias") ? mx::zeros(shape, dtype)
                                  : mx::ones(shape, dtype));
    }
  }
  return parameters;
}

void save_parameters(
    const fs::path& folder,
    const ModelConfig& config,
    const Parameters& parameters,
    mx::Dtype dtype) {
  const auto shapes = parameter_shapes(config);
  std::map<std::string, mx::array> arrays;
  for (const auto& [name, array] : parameters) {
    const auto shape = shapes.find(name);
    if (shape == shapes.end() || shape->second != array.shape()) {
      fail(op, "expected no parameter {} {}", name, text_of(array.shape()));
    }
    arrays.emplace(name, mx::astype(array, dtype));
  }
  if (arrays.size() != shapes.size()) {
    fail(op, "expected {} parameters; got {}", shapes.size(), arrays.size());
  }
  std::error_code error;
  fs::create_directories(folder, error);
  write_weights(folder, arrays);
  write_file(folder / "config.json", [&](std::ostream& stream) {
    stream << config_json(config, dtype);
  });
}

} // namespace tessera
