#pragma once

#include <mlx/mlx.h>

#include <optional>
#include <string>

namespace tessera {

namespace mx = mlx::core;

// Which code computes a call. `automatic` is ours unless a saved measurement
// says that MLX's own op is faster on a shape where both agree.
enum class Implementation { automatic, tessera, mlx };

struct AttentionOptions {
  // Factor on Q K^T; 1 / sqrt(D) where absent.
  std::optional<float> scale = std::nullopt;
  // Query i sees keys j <= i + Nk - Nq (lower-right aligned).
  bool causal = false;
  Implementation implementation = Implementation::automatic;
  // Rows and columns of a tile; 0 leaves them to the plan. A size that does not
  // fit is refused with its reason.
  int block_size = 0;

  bool operator==(const AttentionOptions&) const = default;
};

// O = softmax(scale * Q K^T) V and L, the logsumexp of each row of scores
// (natural logarithm, float32 [B, Hq, Nq]). A row that sees no key has O = 0
// and L = -inf. L is differentiable: its cotangent enters dS.
struct AttentionOutput {
  mx::array O;
  mx::array L;
};

// Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv] -> [B, Hq, Nq, Dv] in
// Q's dtype; float32, float16 or bfloat16, the same for all three; Hq a
// multiple of Hkv (query head h reads key head h / (Hq / Hkv), without a copy
// of K or V). All sums and the softmax are float32. Memory beyond inputs and
// outputs does not grow with Nq * Nk, in the backward pass either.
//
// Works under mx::grad, vmap, compile and checkpoint; a second derivative
// throws. Throws InputError where shapes, dtypes or options do not fit. Where
// the stream is not the CPU's, `automatic` is MLX's own op, with its memory.
//
// Method: Dao, "FlashAttention-2" (2023), sections 3.1 (forward) and 3.2
// (backward).
mx::array attention(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options = {},
    mx::StreamOrDevice s = {});

// The same, with L. MLX's op returns none: `automatic` takes ours, and `mlx` is
// refused.
AttentionOutput attention_with_logsumexp(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options = {},
    mx::StreamOrDevice s = {});

// The implementation that `attention` takes for these arguments, and why.
// `name` is "tessera/cpu" or "mlx".
struct Choice {
  std::string name;
  std::string reason;
};

Choice explain_attention(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options = {},
    mx::StreamOrDevice s = {});

} // namespace tessera
