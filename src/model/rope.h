#pragma once

#include <vector>

#include "tessera/model.h"

namespace tessera {

// 1 / frequency of each of the head_dim / 2 rotations, in positions per radian,
// with the config's scaling in it: what mx::fast::rope takes as `freqs`.
//
// Source: Su et al., "RoFormer" (2021), section 3.2.2; linear: Chen et al.,
// "Extending Context Window of Large Language Models via Positional
// Interpolation" (2023), section 3.2; llama3: the Llama 3.1 release.
std::vector<float> rope_wavelengths(const ModelConfig& config);

} // namespace tessera
