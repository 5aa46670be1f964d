#pragma once

#include <mlx/mlx.h>

#include <optional>
#include <string>

namespace tessera {

namespace mx = mlx::core;

// Which code computes a call. `automatic` is ours unless a saved measurement
// says that MLX's own op is faster on a shape where both agree.
enum class Implementation { automatic, tessera, mlx };

// Keys that a query sees to the left and to the right of its own position; an
// absent side has no bound. Hugging Face's `sliding_window` w is (w - 1, 0).
struct Window {
  std::optional<int> left = std::nullopt;
  std::optional<int> right = std::nullopt;
};

// Ids of queries [B, Nq] and of keys [B, Nk], int32: a query sees the keys of
// its own id (packed documents).
struct Segments {
  mx::array q;
  mx::array k;
};

// Boolean [B or 1, Hq or 1, ceil(Nq / rows), ceil(Nk / columns)]: the pairs of
// a block that is off do not see each other, and cost nothing.
struct BlockList {
  mx::array list;
  int rows = 0;
  int columns = 0;
};

// With i' = i + Nk - Nq the position of query i, key j is seen by query i iff
//   (not causal, or j <= i', or j < prefix), and the window, the chunk, the
//   segments, the mask and the block list allow it.
// A score, in float32: s = scale * q.k; s = c * tanh(s / c) for a softcap c;
// s += bias; s -= slope * |i' - j|. Keys that are not seen leave the sum; the
// sink joins the denominator as it is. Dropout multiplies the probabilities by
// keep / (1 - p).
struct AttentionOptions {
  // Factor on Q K^T; 1 / sqrt(D) where absent.
  std::optional<float> scale = std::nullopt;
  // Query i sees keys j <= i' (lower-right aligned).
  bool causal = false;
  std::optional<Window> window = std::nullopt;
  std::optional<Segments> segments = std::nullopt;
  // With causal: keys j < prefix are seen by every query; an int32 scalar or
  // [B].
  std::optional<mx::array> prefix = std::nullopt;
  // With causal: only keys of the same chunk, floor(j / c) = floor(i' / c).
  std::optional<int> chunk = std::nullopt;
  // Boolean, broadcastable to [B, Hq, Nq, Nk]: true keeps. Read through its
  // strides, never expanded.
  std::optional<mx::array> mask = std::nullopt;
  // Float of any dtype, broadcastable the same; its gradient comes in its own
  // shape and dtype.
  std::optional<mx::array> bias = std::nullopt;
  // ALiBi slopes, [Hq] or [B, Hq], float of any dtype; differentiable.
  std::optional<mx::array> alibi = std::nullopt;
  std::optional<float> softcap = std::nullopt;
  // [Hq], float of any dtype; differentiable.
  std::optional<mx::array> sinks = std::nullopt;
  // Probability in [0, 1), with a seed: an integer scalar. Philox4x32-10, key =
  // seed, counter (floor(j / 4), i, b * Hq + h, 0), word j mod 4; an element is
  // kept iff its word >= floor(p * 2^32).
  float dropout = 0.0f;
  std::optional<mx::array> seed = std::nullopt;
  std::optional<BlockList> blocks = std::nullopt;
  Implementation implementation = Implementation::automatic;
  // Rows and columns of a tile; 0 leaves them to the plan. A size that does not
  // fit is refused with its reason.
  int block_size = 0;
};

// O = softmax(scores) V and L, the logsumexp of each row of scores (natural
// logarithm, float32 [B, Hq, Nq]; it includes the sink and not dropout). A row
// that sees no key has O = 0 and L = -inf, or the sink, and gradients of 0; so
// has one whose scores all lie below -1e8, as masks of -1e9 or of a dtype's
// lowest number make them. L is differentiable: its cotangent enters dS.
struct AttentionOutput {
  mx::array O;
  mx::array L;
};

// Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv] -> [B, Hq, Nq, Dv] in
// Q's dtype; float32, float16 or bfloat16, the same for all three; Hq a
// multiple of Hkv (query head h reads key head h / (Hq / Hkv), without a copy
// of K or V). All sums and the softmax are float32. Memory beyond inputs and
// outputs does not grow with Nq * Nk, in the backward pass either. What is not
// finite in a row of K, V or the cotangent of O may reach every row of its head
// that shares a tile with it, seen or not; never another batch entry.
//
// Works under mx::grad, vmap, compile and checkpoint; a second or a forward
// derivative throws. Under vmap each entry is what a call of its own gives, the
// draws of dropout included: one call where the mapped axis can join the batch,
// else one for each entry (a mapped sink, dropout, the gradient of bias, slopes
// or sinks). A mask or bias is not repeated for it. Throws InputError where
// shapes, dtypes or options do not fit. Where the stream is not the CPU's,
// `automatic` is MLX's own op, with its memory.
//
// Method: Dao, "FlashAttention-2" (2023), sections 3.1 (forward) and 3.2
// (backward); Press et al., "Train Short, Test Long" (2022), section 3 (ALiBi);
// Xiao et al., "Efficient Streaming Language Models with Attention Sinks"
// (2024), section 3.2; Salmon et al., "Parallel Random Numbers: As Easy as 1,
// 2, 3" (2011), section 3.4 (Philox).
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

  bool operator==(const Choice&) const = default;
};

Choice explain_attention(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options = {},
    mx::StreamOrDevice s = {});

} // namespace tessera
