#pragma once

#include <mlx/mlx.h>

#include <vector>

#include "api/problem.h"
#include "tessera/attention.h"

namespace tessera {

// A call's arrays and options, checked and in the form that the nodes read.
struct Arguments {
  Problem problem; // of the forward pass
  AttentionSettings settings;
  // In the order of inputs_of(settings):
  //   bias, mask  [B or 1, Hq or 1, Nq or 1, Nk or 1], each a view of its own
  //   slopes      [B or 1, Hq]
  //   sinks       [Hq]
  //   blocks      [B or 1, Hq or 1, ceil(Nq / rows), ceil(Nk / columns)]
  //   segments    [B, Nq], [B, Nk] int32
  //   prefix      [B] int32
  //   seed        [2] uint32, the lower half first
  std::vector<mx::array> inputs;
};

// Throws InputError, under the name "attention", where shapes, dtypes or
// options do not fit. What it adds to the graph copies nothing of the size of
// the scores.
Arguments make_arguments(
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V,
    const AttentionOptions& options,
    mx::Stream stream);

} // namespace tessera
