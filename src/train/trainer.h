#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "tessera/dataset.h"
#include "tessera/finetune.h"
#include "train/math/optimizer.h"
#include "train/order.h"

namespace tessera::train {

// What a run computes with and does not change.
struct Network {
  ModelConfig config;
  Parameters frozen; // in `dtype`
  mx::Dtype dtype = mx::float32;
  ForwardOptions forward;
  // Logits are made for as many tokens at a time as fit into this.
  std::int64_t loss_bytes = std::int64_t{128} << 20;
};

struct LossOptions {
  std::optional<std::uint64_t> dropout_seed; // absent: no dropout
  bool differentiated = false;               // a gradient will be asked for
};

// Sum of the cross entropy over a batch's target tokens, float32 scalar, with
// `trained` (float32, cast to the network's dtype) beside or instead of the
// frozen parameters. Logits are computed only where a target counts.
mx::array summed_loss(
    const Network& network,
    const Parameters& trained,
    const Batch& batch,
    const LossOptions& options = {});

struct LossAndGradient {
  mx::array loss;
  Parameters gradient;
  std::vector<mx::array> shares; // what each batch adds to the loss
};

// Mean over all target tokens of the batches, and its gradient by what is
// trained: as many batches give what one large batch would. `dropout_seed`
// gives each batch a key of its own.
LossAndGradient loss_and_gradient(
    const Network& network,
    const Parameters& trained,
    const std::vector<Batch>& batches,
    std::uint64_t dropout_seed);

struct UpdateOptions {
  double learning_rate = 0.0;
  double max_grad_norm = 0.0; // 0: no clipping
  AdamConfig adam;
  std::uint64_t dropout_seed = 0;
};

struct Updated {
  Trained state;
  float loss = 0.0f;         // before the update
  float grad_norm = 0.0f;    // before clipping
  std::vector<float> shares; // what each batch adds to the loss
};

// One update from the batches, computed when this returns. Takes the state by
// value so that MLX may reuse its memory.
Updated update(
    const Network& network,
    Trained state,
    const std::vector<Batch>& batches,
    const UpdateOptions& options);

struct Evaluation {
  const Dataset& data;
  BatchShape shape;
  int max_batches = -1; // -1: all
  // Told how many batches of how many are done.
  std::function<void(int, int)> progress = [](int, int) {
  };
};

// Mean loss over target tokens, without dropout. Where it does not take all
// batches it takes the same ones each time.
EvalReport evaluate(
    const Network& network,
    const Parameters& trained,
    const Evaluation& evaluation);

} // namespace tessera::train
