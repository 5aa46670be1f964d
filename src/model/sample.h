#pragma once

#include <cstdint>
#include <span>

namespace tessera {

// A token drawn from softmax(logits / temperature), cut to the fewest most
// likely tokens whose probabilities reach top_p (at least one). `uniform` in
// [0, 1) decides. Temperature 0: the most likely token, the first of equals.
//
// Source: Holtzman et al., "The Curious Case of Neural Text Degeneration"
// (2020), section 3.1.
std::int32_t sample(
    std::span<const float> logits,
    float temperature,
    float top_p,
    double uniform);

} // namespace tessera
