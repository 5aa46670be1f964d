#include <fmt/format.h>

#include "model/rope.h"
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
  mx::array wavelengths;
  // A key for each linear module of each layer; none: no dropout.
  std::optional<mx::array> dropout_keys;
  KvCache* cache;
  int offset; // position of the first token
};

const mx::array& parameter(
    const Parameters& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) {
    fail("model", "expected a parameter {}; got none", name);
  }
  return found->second;
}

// Inverted dropout: what stays is scaled up, so that the mean stays.
mx::array dropped(const mx::array& x, float p, const mx::array& key) {
  const auto keep = mx::random::bernoulli(1 - p, x.shape(), key);
  return mx::where(
      keep,
      mx::multiply(x, mx::array(1 / (1 - p), x.dtype())),
      mx::array(0.0f, x.dtype()));
}

// x [B, N, in] -> [B, N, out]: x W^T + b + lora_scale * dropout(x) A B. `index`
// counts the modules of all layers.
mx::array linear(
    const Pass& pass,
    const mx::array& x,
    const std::string& module,
    int index) {
  const auto& all = pass.parameters;
  const auto W = mx::transpose(parameter(all, module + ".weight"));
  const auto bias = all.find(module + ".bias");
  const auto y =
      bias == all.end() ? mx::matmul(x, W) : mx::addmm(bias->second, x, W);

  const auto a = all.find(module + ".lora_a");
  if (a == all.end()) {
    return y;
  }
  const auto from = pass.dropout_keys
      ? dropped(
            x,
            pass.options.lora_dropout,
            mx::take(*pass.dropout_keys, index, 0))
      : x;
  const auto low = mx::multiply(
      mx::matmul(from, a->second),
      mx::array(pass.options.lora_scale, x.dtype()));
  return mx::add(y, mx::matmul(low, parameter(all, module + ".lora_b")));
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
    return mx::fast::rms_norm(
        x,
        parameter(pass_.parameters, prefix_ + name + ".weight"),
        pass_.config.rms_norm_eps);
  }

  mx::array project(const mx::array& x, Linear module) const {
    return linear(
        pass_,
        x,
        prefix_ + std::string(linear_names.at(module)),
        index_ * int(linear_names.size()) + int(module));
  }

  // [B, N, H * D] -> [B, H, N, D], a view: the last axis stays contiguous.
  mx::array split_heads(const mx::array& x) const {
    const int D = pass_.config.head_dim;
    return mx::swapaxes(
        mx::reshape(x, {x.shape(0), x.shape(1), x.shape(2) / D, D}), 1, 2);
  }

  mx::array rotate(const mx::array& x) const {
    return mx::fast::rope(
        x,
        pass_.config.head_dim,
        false,
        std::nullopt,
        1.0f,
        pass_.offset,
        pass_.wavelengths);
  }

  mx::array attention(const mx::array& x) const {
    const auto Q = rotate(split_heads(project(x, q_proj)));
    auto K = rotate(split_heads(project(x, k_proj)));
    auto V = split_heads(project(x, v_proj));
    if (pass_.cache != nullptr) {
      std::tie(K, V) = pass_.cache->append(index_, K, V);
    }
    const auto O = tessera::attention(Q, K, V, pass_.options.attention);
    return project(mx::flatten(mx::swapaxes(O, 1, 2), 2, 3), o_proj);
  }

  // Shazeer, "GLU Variants Improve Transformer" (2020), equation 6: SwiGLU.
  mx::array mlp(const mx::array& x) const {
    const auto gate = project(x, gate_proj);
    const auto silu = mx::multiply(gate, mx::sigmoid(gate));
    return project(mx::multiply(silu, project(x, up_proj)), down_proj);
  }

  const Pass& pass_;
  int index_;
  std::string prefix_;
};

Pass make_pass(
    const ModelConfig& config,
    const Parameters& parameters,
    const ForwardOptions& options,
    KvCache* cache) {
  const auto wavelengths = rope_wavelengths(config);
  std::optional<mx::array> keys;
  if (options.dropout_key && options.lora_dropout > 0) {
    keys = mx::random::split(
        *options.dropout_key,
        config.num_hidden_layers * int(linear_names.size()));
  }
  return {
      config,
      parameters,
      options,
      mx::array(wavelengths.data(), {int(wavelengths.size())}),
      keys,
      cache,
      cache == nullptr ? 0 : cache->length()};
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
  auto causal = options;
  causal.attention.causal = true;
  causal.attention.scale = std::nullopt;
  const auto pass = make_pass(config, parameters, causal, cache);
  auto x =
      mx::take(parameter(parameters, "model.embed_tokens.weight"), tokens, 0);
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    x = Layer(pass, i)(x);
  }
  return mx::fast::rms_norm(
      x, parameter(parameters, "model.norm.weight"), config.rms_norm_eps);
}

mx::array logits_of(
    const ModelConfig& config,
    const Parameters& parameters,
    const mx::array& hidden) {
  const auto& W = parameter(
      parameters,
      config.tie_word_embeddings ? "model.embed_tokens.weight"
                                 : "lm_head.weight");
  return mx::matmul(hidden, mx::transpose(W));
}

} // namespace tessera
