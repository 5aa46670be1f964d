#include "train/math/optimizer.h"

#include <cmath>

namespace tessera::train {

Trained begin_training(Parameters parameters) {
  Trained state;
  for (auto& [name, p] : parameters) {
    p = mx::astype(p, mx::float32);
    state.m.emplace(name, mx::zeros(p.shape(), mx::float32));
    state.v.emplace(name, mx::zeros(p.shape(), mx::float32));
  }
  state.parameters = std::move(parameters);
  return state;
}

Trained adam_update(
    Trained state,
    Parameters gradient,
    double learning_rate,
    const AdamConfig& config) {
  int t = ++state.updates;
  double bias1 = 1 - std::pow(config.beta1, t);
  double root2 = std::sqrt(1 - std::pow(config.beta2, t));
  auto scalar = [](double x) {
    return mx::array(static_cast<float>(x));
  };
  mx::array beta1 = scalar(config.beta1);
  mx::array beta2 = scalar(config.beta2);
  mx::array rest1 = scalar(1 - config.beta1);
  mx::array rest2 = scalar(1 - config.beta2);
  mx::array keep = scalar(1 - learning_rate * config.weight_decay);
  // learning_rate / bias1 * m / (sqrt(v) / root2 + epsilon), with root2 brought
  // to the numerator, which saves a pass over v.
  mx::array rate = scalar(learning_rate * root2 / bias1);
  mx::array epsilon = scalar(config.epsilon * root2);

  for (auto& [name, p] : state.parameters) {
    const mx::array& g = gradient.at(name);
    mx::array& m = state.m.at(name);
    mx::array& v = state.v.at(name);
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * mx::square(g);
    if (config.weight_decay != 0) {
      p = keep * p;
    }
    p = p - rate * m / (mx::sqrt(v) + epsilon);
  }
  return state;
}

Clipped clip_by_global_norm(Parameters gradient, double max_norm) {
  mx::array sum(0.0f);
  for (const auto& [name, g] : gradient) {
    sum = sum + mx::sum(mx::square(g));
  }
  mx::array norm = mx::sqrt(sum);
  if (max_norm > 0) {
    mx::array factor = mx::minimum(
        mx::array(1.0f),
        mx::array(static_cast<float>(max_norm)) / (norm + mx::array(1e-6f)));
    for (auto& [name, g] : gradient) {
      g = g * factor;
    }
  }
  return {std::move(gradient), norm};
}

} // namespace tessera::train
