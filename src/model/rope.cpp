#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace tessera {

namespace {

// Llama 3.1: rotations that turn often within the trained length stay, those
// that hardly turn are slowed by `factor`, and between the two bounds the
// frequency is interpolated.
float llama3_frequency(float frequency, const RopeScaling& scaling) {
  const float turns = float(scaling.original_max_position_embeddings) *
      frequency / float(2 * std::numbers::pi);
  if (turns > scaling.high_freq_factor) {
    return frequency;
  }
  if (turns < scaling.low_freq_factor) {
    return frequency / scaling.factor;
  }
  const float smooth = (turns - scaling.low_freq_factor) /
      (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

float scaled(float frequency, const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::linear:
      return frequency / scaling.factor;
    case RopeScaling::Kind::llama3:
      return llama3_frequency(frequency, scaling);
    case RopeScaling::Kind::none:
      break;
  }
  return frequency;
}

} // namespace

std::vector<float> rope_wavelengths(const ModelConfig& config) {
  std::vector<float> wavelengths;
  for (int i = 0; i < config.head_dim; i += 2) {
    // In float32 as transformers does it: at position 10,000 an angle is then
    // off by the rounding of one product only.
    const float wavelength =
        std::pow(config.rope_theta, float(i) / float(config.head_dim));
    const float frequency = 1 / wavelength;
    wavelengths.push_back(
        wavelength * (frequency / scaled(frequency, config.rope_scaling)));
  }
  return wavelengths;
}

} // namespace tessera
