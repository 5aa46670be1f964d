#pragma once

#include <mlx/mlx.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "api/problem.h"

namespace tessera {

// Where an operand stands among others; it must be there.
std::size_t position(const std::vector<Operand>& operands, Operand operand);

// A node that is to run over a mapped axis.
struct Mapped {
  const AttentionSettings& settings;
  const std::vector<Operand>& input_operands;
  const std::vector<Operand>& output_operands;
  const std::vector<mx::array>& inputs;
  const std::vector<int>& axes; // of each input that is mapped; -1: not mapped
  mx::Stream stream;
};

using Apply =
    std::function<std::vector<mx::array>(const std::vector<mx::array>& inputs)>;

// The outputs with the mapped axis in front. Each entry is what a call of its
// own gives, the draws of dropout included.
//
// The mapped axis joins the batch axis in one call where the kernels can tell
// its entries apart: Q, K, V and small arrays that are not mapped are repeated.
// They cannot by a sink or a seed, and for a gradient that is summed over the
// batch; and what is as large as the scores is not to be repeated. Then each
// entry is a call, and the results are stacked.
std::vector<mx::array> mapped_outputs(const Mapped& node, const Apply& apply);

} // namespace tessera
