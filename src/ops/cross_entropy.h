#pragma once

#include <mlx/mlx.h>

#include <cstdint>

namespace tessera::ops {

struct CrossEntropyOptions {
  // Logits are made for as many rows at a time as fit into this.
  std::int64_t most_bytes = std::int64_t{128} << 20;
  // Which gradients will be asked for; they are made beside the loss, from the
  // same logits.
  bool by_hidden = false;
  bool by_weight = false;

  // Rows whose logits are held at once.
  std::int64_t rows(std::int64_t vocab) const;
  // Floats that a chunk of so many rows needs: logits [rows, vocab], losses
  // [rows] and, for the gradient by hidden states, its sums over each part of
  // the vocabulary [parts, rows, width].
  std::int64_t workspace(
      std::int64_t rows, std::int64_t width, std::int64_t vocab) const;
};

// Sum over rows of logsumexp(h W^T) - (h W^T)[target], float32 scalar, for
// hidden [rows, width], W [vocab, width] and targets [rows] int32 in [0,
// vocab). The matrix [rows, vocab] is never held whole, in either direction.
// Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models" (2024),
// section 4, with chunks of rows in place of tiles.
mlx::core::array linear_cross_entropy(
    const mlx::core::array& hidden,
    const mlx::core::array& W,
    const mlx::core::array& targets,
    const CrossEntropyOptions& options);

} // namespace tessera::ops
