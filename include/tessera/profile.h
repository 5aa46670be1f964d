#pragma once

#include <cstdint>

namespace tessera {

// What Tessera's own attention has taken since the program began, in all
// threads; MLX's op is not seen.
struct AttentionProfile {
  std::int64_t calls = 0; // of the forward or the backward pass
  double seconds = 0;     // wall time
  // Floating point operations that the result needs: 2 a product and sum, over
  // the pairs of query and key that see each other, two products of matrices
  // forward and five backward. What is computed twice counts once. Causal,
  // window, chunk, prefix and segments are counted exactly; pairs that a
  // boolean mask or a block list switches off are counted too.
  double flops = 0;
};

AttentionProfile attention_profile();

} // namespace tessera
