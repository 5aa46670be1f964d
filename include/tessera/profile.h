#pragma once

#include <mlx/mlx.h>

#include <cstdint>
#include <optional>

namespace tessera {

namespace mx = mlx::core;

// What one pass of Tessera's own attention has taken.
struct PassProfile {
  std::int64_t calls = 0;
  double seconds = 0; // wall time
  // Floating point operations that the result needs: 2 a product and sum, over
  // the pairs of query and key that see each other, two products of matrices
  // forward and five backward. What is computed twice within a call counts
  // once. Causal, window, chunk, prefix and segments are counted exactly; pairs
  // that a boolean mask or a block list switches off are counted too.
  double flops = 0;
  // The least that a call must move: each array that it is given read once, and
  // each that it makes written once, in their own dtypes; a broadcast array by
  // what it holds.
  double bytes = 0;
};

PassProfile operator+(const PassProfile& a, const PassProfile& b);
PassProfile operator-(const PassProfile& a, const PassProfile& b);

// Since the program began, in all threads; MLX's op is not seen.
struct AttentionProfile {
  PassProfile forward;
  PassProfile backward;

  PassProfile total() const {
    return forward + backward;
  }
};

AttentionProfile attention_profile();

// The most floating point operations a second that this machine's arithmetic
// units make for attention in `dtype`, on all threads: measured, in a tenth of
// a second. None where MLX computes elsewhere than on the CPU.
std::optional<double> attention_peak_flops(mx::Dtype dtype);

} // namespace tessera
