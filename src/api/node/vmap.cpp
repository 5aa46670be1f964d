#include "api/node/vmap.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera {

namespace {

// What becomes of an input in one call for all mapped entries.
enum class Fate {
  joins,    // its batch axis holds those of all entries
  stays,    // it is the same for all
  separates // one call cannot have it
};

int mapped_length(const Mapped& node) {
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.axes[i] >= 0) {
      return node.inputs[i].shape(node.axes[i]);
    }
  }
  fail("attention", "expected a mapped axis under vmap; got none");
}

// The length of input i's first axis but the mapped one.
int batch_of(const Mapped& node, std::size_t i) {
  return node.inputs[i].shape(node.axes[i] == 0 ? 1 : 0);
}

Fate fate_of(const Mapped& node, std::size_t i, int B) {
  const bool mapped = node.axes[i] >= 0;
  switch (node.input_operands[i]) {
    case Operand::seed:
      return Fate::separates;
    case Operand::sinks:
      return mapped ? Fate::separates : Fate::stays;
    case Operand::bias:
    case Operand::mask:
    case Operand::blocks:
      if (mapped) {
        return batch_of(node, i) == B ? Fate::joins : Fate::separates;
      }
      return batch_of(node, i) == 1 ? Fate::stays : Fate::separates;
    default:
      return Fate::joins;
  }
}

bool is_summed_over_batch(Operand output) {
  return output == Operand::dbias || output == Operand::dslopes ||
      output == Operand::dsinks;
}

// The inputs of one call for all entries; nothing where there is no such call.
std::vector<mx::array> joined(const Mapped& node, int length) {
  const int B = batch_of(node, 0);
  std::vector<mx::array> inputs;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const auto& x = node.inputs[i];
    const auto fate = fate_of(node, i, B);
    if (fate == Fate::separates) {
      return {};
    }
    if (fate == Fate::stays) {
      inputs.push_back(x);
      continue;
    }
    const auto y = node.axes[i] < 0
        ? mx::expand_dims(x, 0, node.stream)
        : mx::moveaxis(x, node.axes[i], 0, node.stream);
    auto shape = y.shape();
    shape[0] = length;
    shape[1] = B;
    inputs.push_back(mx::flatten(
        mx::broadcast_to(y, shape, node.stream), 0, 1, node.stream));
  }
  return inputs;
}

// Input i of the entry `index`, a view. Without entries, an array of its shape
// that is never evaluated.
mx::array entry(const Mapped& node, std::size_t i, int index) {
  const auto& x = node.inputs[i];
  const int axis = node.axes[i];
  if (axis < 0) {
    return x;
  }
  mx::Shape start(x.ndim(), 0);
  mx::Shape stop = x.shape();
  if (x.shape(axis) == 0) {
    stop.erase(stop.begin() + axis);
    return mx::zeros(stop, x.dtype(), node.stream);
  }
  start[static_cast<std::size_t>(axis)] = index;
  stop[static_cast<std::size_t>(axis)] = index + 1;
  return mx::squeeze(mx::slice(x, start, stop, node.stream), axis, node.stream);
}

// Each output of the entries, stacked.
std::vector<mx::array> stacked(
    const Mapped& node, const Apply& apply, int length) {
  std::vector<std::vector<mx::array>> parts(node.output_operands.size());
  for (int index = 0; index < std::max(1, length); ++index) {
    std::vector<mx::array> inputs;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      inputs.push_back(entry(node, i, index));
    }
    const auto outputs = apply(inputs);
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      parts[k].push_back(outputs[k]);
    }
  }
  std::vector<mx::array> outputs;
  for (const auto& part : parts) {
    auto shape = part[0].shape();
    shape.insert(shape.begin(), 0);
    outputs.push_back(
        length == 0 ? mx::zeros(shape, part[0].dtype(), node.stream)
                    : mx::stack(part, 0, node.stream));
  }
  return outputs;
}

} // namespace

std::size_t position(const std::vector<Operand>& operands, Operand operand) {
  const auto found = std::find(operands.begin(), operands.end(), operand);
  if (found == operands.end()) {
    fail("attention", "expected an operand {}; got none", name(operand));
  }
  return static_cast<std::size_t>(found - operands.begin());
}

std::vector<mx::array> mapped_outputs(const Mapped& node, const Apply& apply) {
  const int length = mapped_length(node);
  std::vector<mx::array> inputs;
  if (std::none_of(
          node.output_operands.begin(),
          node.output_operands.end(),
          is_summed_over_batch)) {
    inputs = joined(node, length);
  }
  if (inputs.empty()) {
    return stacked(node, apply, length);
  }
  auto outputs = apply(inputs);
  for (auto& y : outputs) {
    const int batch = length == 0 ? 0 : y.shape(0) / length;
    y = mx::unflatten(y, 0, {length, batch}, node.stream);
  }
  return outputs;
}

} // namespace tessera
