#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "model/rope.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"
#include "tessera/error.h"
#include "tessera/model.h"

namespace tessera {

namespace {

// The modules of linear_names, in its order.
enum Linear { q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj };

// What every step of a pass reads.
struct Pass {
  const ModelConfig& config;
  const Parameters& parameters;
  const ForwardOptions& options;
  ops::Rotation rotation;
  KvCache* cache;
};

const mx::array& parameter(
    const Parameters& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) {
    fail("model", "expected a parameter {}; got none", name);
  }
  return found->second;
}

// The module's weights as they are in `all`; `index` counts the modules of all
// layers.
ops::Linear module_of(
    const Parameters& all,
    const ForwardOptions& options,
    const std::string& name,
    int index) {
  ops::Linear module{parameter(all, name + ".weight"), {}, {}};
  if (const auto bias = all.find(name + ".bias"); bias != all.end()) {
    module.bias = bias->second;
  }
  if (const auto a = all.find(name + ".lora_a"); a != all.end()) {
    module.low_rank = {
        a->second,
        parameter(all, name + ".lora_b"),
        options.dropout_seed.value_or(0) + std::uint64_t(index)};
  }
  return module;
}

// Touvron et al., "LLaMA" (2023), section 2.2: norms before each block.
class Layer {
 public:
  Layer(const Pass& pass, int index)
      : pass_(pass),
        index_(index),
        prefix_(fmt::format("model.layers.{}.", index)) {}

  // [B, N, hidden] -> [B, N, hidden]
  mx::array operator()(const mx::array& x) const {
    const auto h = mx::add(x, attention(norm(x, "input_layernorm")));
    return mx::add(h, mlp(norm(h, "post_attention_layernorm")));
  }

 private:
  mx::array norm(const mx::array& x, const std::string& name) const {
    return ops::rms_norm(
        x,
        parameter(pass_.parameters, prefix_ + name + ".weight"),
        pass_.config.rms_norm_eps);
  }

  // What the modules make of the x that they all read.
  std::vector<mx::array> project(
      const mx::array& x, std::initializer_list<Linear> names) const {
    std::vector<ops::Linear> modules;
    for (const Linear name : names) {
      modules.push_back(module_of(
          pass_.parameters,
          pass_.options,
          prefix_ + std::string(linear_names.at(name)),
          index_ * int(linear_names.size()) + int(name)));
    }
    const ForwardOptions& options = pass_.options;
    return ops::linear(
        x,
        modules,
        {options.lora_scale,
         options.dropout_seed ? options.lora_dropout : 0.0f});
  }

  // [B, N, H * D] -> [B, N, H, D]
  mx::array split_heads(const mx::array& x) const {
    const int D = pass_.config.head_dim;
    return mx::reshape(x, {x.shape(0), x.shape(1), x.shape(2) / D, D});
  }

  // [B, N, H * D] -> [B, H, N, D], a view: the last axis stays contiguous.
  mx::array heads_first(const mx::array& x) const {
    return mx::swapaxes(split_heads(x), 1, 2);
  }

  // [B, N, H * D]. `norm_name`: Qwen3's, over each head.
  mx::array rotated(const mx::array& x, const std::string& norm_name) const {
    const auto normed = pass_.config.qk_norm
        ? mx::reshape(norm(split_heads(x), norm_name), x.shape())
        : x;
    return ops::rope(normed, pass_.config.head_dim, pass_.rotation);
  }

  mx::array attention(const mx::array& x) const {
    const auto qkv = project(x, {q_proj, k_proj, v_proj});
    const auto Q = heads_first(rotated(qkv[0], "self_attn.q_norm"));
    auto K = heads_first(rotated(qkv[1], "self_attn.k_norm"));
    auto V = heads_first(qkv[2]);
    if (pass_.cache != nullptr) {
      std::tie(K, V) = pass_.cache->append(index_, K, V);
    }
    auto options = pass_.options.attention;
    options.window = pass_.config.window(index_, K.shape(2));
    const auto O = tessera::attention(Q, K, V, options);
    return project(mx::flatten(mx::swapaxes(O, 1, 2), 2, 3), {o_proj})[0];
  }

  mx::array mlp(const mx::array& x) const {
    const auto both = project(x, {gate_proj, up_proj});
    return project(ops::swiglu(both[0], both[1]), {down_proj})[0];
  }

  const Pass& pass_;
  int index_;
  std::string prefix_;
};

ops::Rotation rotation_of(
    const ModelConfig& config,
    const mx::array& tokens,
    const ForwardOptions& options,
    int offset) {
  const auto positions = options.positions.value_or(mx::reshape(
      mx::arange(offset, offset + tokens.shape(1), mx::int32),
      {1, tokens.shape(1)}));
  return ops::rotation_of(positions, rope_wavelengths(config));
}

Parameters parameters_of_layer(const Parameters& all, int index) {
  const auto prefix = fmt::format("model.layers.{}.", index);
  Parameters layer;
  for (auto at = all.lower_bound(prefix);
       at != all.end() && at->first.starts_with(prefix);
       ++at) {
    layer.insert(*at);
  }
  return layer;
}

using Function =
    std::function<std::vector<mx::array>(const std::vector<mx::array>&)>;

// `f`, of which only the inputs are kept for the backward pass: the rest is
// computed again there, not before the cotangents are known (mx::checkpoint
// asks for the outputs alone, and several layers would be computed again at
// once). Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016),
// section 3.
Function recomputed(const Function& f) {
  return mx::custom_vjp(
      f,
      [f](const std::vector<mx::array>& inputs,
          const std::vector<mx::array>& cotangents,
          const std::vector<mx::array>&) {
        return mx::vjp(f, mx::depends(inputs, cotangents), cotangents).second;
      });
}

mx::array recomputed_layer(const Pass& pass, int index, const mx::array& x) {
  std::vector<std::string> names;
  std::vector<mx::array> inputs{x};
  for (const auto& [name, array] :
       parameters_of_layer(pass.parameters, index)) {
    names.push_back(name);
    inputs.push_back(array);
  }
  // By value: it runs again when this call's caller has returned.
  const auto layer = [names,
                      index,
                      config = pass.config,
                      options = pass.options,
                      rotation =
                          pass.rotation](const std::vector<mx::array>& in) {
    Parameters parameters;
    for (std::size_t i = 0; i < names.size(); ++i) {
      parameters.emplace(names[i], in[i + 1]);
    }
    const Pass own{config, parameters, options, rotation, nullptr};
    return std::vector{Layer(own, index)(in[0])};
  };
  return recomputed(layer)(inputs)[0];
}

} // namespace

mx::array hidden_states(
    const ModelConfig& config,
    const Parameters& parameters,
    const mx::array& tokens,
    const ForwardOptions& options,
    KvCache* cache) {
  if (tokens.ndim() != 2 || tokens.size() == 0) {
    reject("model", "expected token ids [B, N]; got {} axes", tokens.ndim());
  }
  if (cache != nullptr && options.recomputed_layers > 0) {
    fail("model", "expected no recomputed layers beside a cache");
  }
  auto causal = options;
  causal.attention.causal = true;
  causal.attention.scale = std::nullopt;
  const int offset = cache == nullptr ? 0 : cache->length();
  const Pass pass{
      config,
      parameters,
      causal,
      rotation_of(config, tokens, options, offset),
      cache};
  auto x =
      mx::take(parameter(parameters, "model.embed_tokens.weight"), tokens, 0);
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    x = i < options.recomputed_layers ? recomputed_layer(pass, i, x)
                                      : Layer(pass, i)(x);
  }
  return ops::rms_norm(
      x, parameter(parameters, "model.norm.weight"), config.rms_norm_eps);
}

std::string_view head_name(const ModelConfig& config) {
  return config.tie_word_embeddings ? "model.embed_tokens.weight"
                                    : "lm_head.weight";
}

mx::array logits_of(
    const ModelConfig& config,
    const Parameters& parameters,
    const mx::array& hidden) {
  const auto& W = parameter(parameters, std::string(head_name(config)));
  return ops::linear(hidden, {{W, {}, {}}})[0];
}

} // namespace tessera
