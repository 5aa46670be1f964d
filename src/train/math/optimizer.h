#pragma once

#include "tessera/finetune.h"

namespace tessera::train {

struct AdamConfig {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay =
      0.0; // decoupled: p loses learning_rate * weight_decay * p
};

// What is trained, and the running means of its gradient and of its square, all
// float32 and by the same names.
struct Trained {
  Parameters parameters;
  Parameters m;
  Parameters v;
  int updates = 0;
};

Trained begin_training(Parameters parameters);

// One update, as torch.optim.AdamW makes it. Kingma and Ba, "Adam" (2014),
// algorithm 1; Loshchilov and Hutter, "Decoupled weight decay" (2017),
// algorithm 2. Takes its arguments by value so that MLX may reuse their memory.
Trained adam_update(
    Trained state,
    Parameters gradient,
    double learning_rate,
    const AdamConfig& config);

struct Clipped {
  Parameters gradient;
  mx::array norm; // global 2-norm before clipping, float32 scalar
};

// Scales the gradient by min(1, max_norm / (norm + 1e-6)), as
// torch.nn.utils.clip_grad_norm_; max_norm 0 leaves it as it is.
Clipped clip_by_global_norm(Parameters gradient, double max_norm);

} // namespace tessera::train
