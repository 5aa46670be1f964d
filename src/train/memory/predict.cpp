#include "train/memory/predict.h"

#include <algorithm>
#include <set>
#include <string>

#include "ops/cross_entropy.h"
#include "train/adapter/modules.h"

namespace tessera::train {

namespace {

constexpr std::int64_t float_bytes = 4;

// Which of a layer's linear modules keep their input for a gradient by weights.
class KeptInputs {
 public:
  explicit KeptInputs(const MemoryShape& shape) : all_(!shape.lora) {
    if (shape.lora) {
      for (const auto& name : lora_modules(shape.model, *shape.lora)) {
        modules_.insert(name.substr(name.rfind('.') + 1));
      }
    }
  }
  bool any_of(std::initializer_list<const char*> modules) const {
    return all_ ||
        std::any_of(modules.begin(), modules.end(), [this](const char* name) {
             return modules_.contains(name);
           });
  }

 private:
  bool all_;
  std::set<std::string> modules_;
};

// Elements a token, of one layer.
struct LayerElements {
  std::int64_t kept = 0;  // from the forward to the backward pass
  std::int64_t input = 0; // all that a recomputed layer keeps
  std::int64_t used = 0;  // more, while the backward pass is in the layer
};

LayerElements layer_elements(const MemoryShape& shape) {
  const ModelConfig& m = shape.model;
  const std::int64_t hidden = m.hidden_size;
  const std::int64_t ffn = m.intermediate_size;
  const std::int64_t q = std::int64_t{m.num_attention_heads} * m.head_dim;
  const std::int64_t kv = std::int64_t{m.num_key_value_heads} * m.head_dim;
  const KeptInputs inputs(shape);
  LayerElements e;
  e.input = hidden;
  e.kept = hidden; // x
  if (inputs.any_of({"q_proj", "k_proj", "v_proj"})) {
    e.kept += hidden; // its norm
  }
  if (m.qk_norm) {
    e.kept += q + kv; // before their norms
  }
  e.kept += q + 2 * kv + q + m.num_attention_heads; // Q K V, O, L
  e.kept += hidden;                                 // behind attention
  if (inputs.any_of({"gate_proj", "up_proj"})) {
    e.kept += hidden;
  }
  e.kept += 2 * ffn;
  if (inputs.any_of({"down_proj"})) {
    e.kept += ffn;
  }
  // Gradients by the MLP's product, gate and up beside that of the layer's
  // output.
  e.used = 3 * ffn + 2 * hidden;
  if (!shape.fused) {
    // MLX's own ops keep what they pass on: sigmoid and silu, turned halves,
    // the steps of a norm.
    e.kept += 2 * ffn + 2 * (q + kv) + 5 * hidden;
    e.used += 4 * ffn + 2 * hidden;
  }
  return e;
}

std::int64_t count_of(const std::map<std::string, mx::Shape>& shapes) {
  std::int64_t count = 0;
  for (const auto& [name, shape] : shapes) {
    std::int64_t size = 1;
    for (const auto axis : shape) {
      size *= axis;
    }
    count += size;
  }
  return count;
}

void add_parameters(const MemoryShape& shape, MemoryPrediction& p) {
  const std::int64_t all = count_of(parameter_shapes(shape.model));
  const std::int64_t trained =
      shape.lora ? count_of(lora_shapes(shape.model, *shape.lora)) : all;
  if (shape.lora) {
    p.weights = all * shape.element;
  } else if (shape.element < float_bytes) {
    p.weights = all * shape.element; // cast for the step
  }
  // The parameter, its gradient, and of several batches the sum so far.
  p.trained = trained * float_bytes * (shape.batches > 1 ? 3 : 2);
  p.optimizer = 2 * trained * float_bytes;
}

// A chunk's logits, then the final hidden states before and behind their norm,
// those that have a target, and the gradient by them.
std::int64_t loss_bytes(
    const MemoryShape& shape, std::int64_t tokens, bool differentiated) {
  const std::int64_t hidden = shape.model.hidden_size;
  const std::int64_t vocab = shape.model.vocab_size;
  const ops::CrossEntropyOptions logits{
      shape.loss_bytes, differentiated, differentiated && !shape.lora};
  const std::int64_t rows = std::min(tokens, logits.rows(vocab));
  // MLX's own ops hold the logits, two terms of their gradient, and that in the
  // dtype of the weights.
  const std::int64_t chunk = shape.fused
      ? logits.workspace(rows, hidden, vocab) * float_bytes
      : rows * vocab * ((differentiated ? 3 : 1) * float_bytes + shape.element);
  return chunk + tokens * shape.element * hidden * (differentiated ? 4 : 3);
}

} // namespace

MemoryPrediction predict_memory(const MemoryShape& shape) {
  MemoryPrediction p;
  p.base = shape.base;
  p.cache = shape.cache;
  add_parameters(shape, p);
  const LayerElements layer = layer_elements(shape);
  const std::int64_t layers = shape.model.num_hidden_layers;
  const std::int64_t again =
      std::min<std::int64_t>(shape.recomputed_layers, layers);
  const std::int64_t token = shape.tokens() * shape.element;

  // Where the loss is made all is kept that ever is; in the last layer's
  // backward pass the logits are gone and its gradients are there; in a
  // recomputed layer what the layers behind it kept is gone too.
  const std::int64_t kept =
      token * ((layers - again) * layer.kept + again * layer.input);
  const std::int64_t in_layer = token * layer.used;
  const std::int64_t recomputed =
      again == 0 ? 0 : token * (again * layer.input + layer.kept + layer.used);
  const std::int64_t loss = loss_bytes(shape, shape.tokens(), true);
  const std::int64_t at_loss = kept + loss;
  const std::int64_t in_backward = std::max(kept + in_layer, recomputed);
  p.activations = at_loss > in_backward ? kept : in_backward;
  p.loss = at_loss > in_backward ? loss : 0;
  // An evaluation keeps nothing but what the layer at hand works with.
  const std::int64_t evaluated =
      shape.evaluated_tokens * shape.element * layer.used +
      loss_bytes(shape, shape.evaluated_tokens, false);
  p.activations = std::max(p.activations, evaluated - p.loss - p.trained / 2);
  p.attention = std::int64_t{shape.threads} * (4 << 20);
  return p;
}

} // namespace tessera::train
