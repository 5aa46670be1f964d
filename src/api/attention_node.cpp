#include "api/attention_node.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "api/cpu_call.h"
#include "api/problem.h"
#include "tessera/error.h"

namespace tessera {

namespace {

[[noreturn]] void no_gpu() {
  fail("attention", "expected a stream of the CPU; got one of another device");
}

// The mapped axis of each input joins its batch axis, in front; what is not
// mapped is repeated.
std::vector<mx::array> fold(
    const std::vector<mx::array>& inputs,
    const std::vector<int>& axes,
    int mapped,
    mx::Stream stream) {
  std::vector<mx::array> folded;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    auto x = axes[i] < 0 ? mx::expand_dims(inputs[i], 0, stream)
                         : mx::moveaxis(inputs[i], axes[i], 0, stream);
    auto shape = x.shape();
    shape[0] = mapped;
    x = mx::broadcast_to(x, shape, stream);
    folded.push_back(mx::flatten(x, 0, 1, stream));
  }
  return folded;
}

int mapped_length(
    const std::vector<mx::array>& inputs, const std::vector<int>& axes) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (axes[i] >= 0) {
      return inputs[i].shape(axes[i]);
    }
  }
  fail("attention", "expected a mapped axis under vmap; got none");
}

// Runs `primitive` on folded inputs and gives its outputs the mapped axis back.
std::pair<std::vector<mx::array>, std::vector<int>> mapped(
    const std::vector<mx::array>& inputs,
    const std::vector<int>& axes,
    const std::shared_ptr<mx::Primitive>& primitive) {
  const int length = mapped_length(inputs, axes);
  const auto stream = primitive->stream();
  const auto folded = fold(inputs, axes, length, stream);
  std::vector<mx::Dtype> dtypes;
  auto shapes = primitive->output_shapes(folded);
  for (const auto& shape : shapes) {
    // L alone has three axes, and is float32.
    dtypes.push_back(shape.size() == 3 ? mx::float32 : folded[0].dtype());
  }
  auto outputs = mx::array::make_arrays(shapes, dtypes, primitive, folded);
  for (auto& y : outputs) {
    const int batch = length == 0 ? 0 : y.shape(0) / length;
    y = mx::unflatten(y, 0, {length, batch}, stream);
  }
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

mx::Shape shape_of(Operand operand, const Problem& problem) {
  const auto s = shape(operand, problem);
  mx::Shape shape(s.begin(), s.end());
  if (is_row_vector(operand)) {
    shape.pop_back();
  }
  return shape;
}

} // namespace

AttentionForward::AttentionForward(
    mx::Stream stream, AttentionSettings settings)
    : Primitive(stream), settings_(settings) {}

void AttentionForward::eval_cpu(
    const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) {
  CpuCall call(
      problem_of(
          Pass::forward, inputs[0], inputs[1], inputs[2], settings_.causal),
      settings_.scale,
      settings_.block_size);
  call.add(Operand::Q, inputs[0]);
  call.add(Operand::K, inputs[1]);
  call.add(Operand::V, inputs[2]);
  call.allocate(Operand::O, outputs[0]);
  call.allocate(Operand::L, outputs[1]);
  call.add_pass(Pass::forward);
  call.dispatch(stream());
}

void AttentionForward::eval_gpu(
    const std::vector<mx::array>&, std::vector<mx::array>&) {
  no_gpu();
}

std::vector<mx::array> AttentionForward::vjp(
    const std::vector<mx::array>& primals,
    const std::vector<mx::array>& cotangents,
    const std::vector<int>& argnums,
    const std::vector<mx::array>& outputs) {
  constexpr Operand gradients[] = {Operand::dQ, Operand::dK, Operand::dV};
  std::vector<Operand> wanted;
  std::vector<mx::Shape> shapes;
  for (const int argument : argnums) {
    wanted.push_back(gradients[argument]);
    shapes.push_back(primals[static_cast<std::size_t>(argument)].shape());
  }
  std::vector<mx::array> inputs = primals;
  inputs.insert(inputs.end(), outputs.begin(), outputs.end());
  inputs.insert(inputs.end(), cotangents.begin(), cotangents.end());
  return mx::array::make_arrays(
      shapes,
      std::vector<mx::Dtype>(wanted.size(), primals[0].dtype()),
      std::make_shared<AttentionBackward>(stream(), settings_, wanted),
      inputs);
}

std::pair<std::vector<mx::array>, std::vector<int>> AttentionForward::vmap(
    const std::vector<mx::array>& inputs, const std::vector<int>& axes) {
  return mapped(
      inputs, axes, std::make_shared<AttentionForward>(stream(), settings_));
}

std::vector<mx::Shape> AttentionForward::output_shapes(
    const std::vector<mx::array>& inputs) {
  const auto problem = problem_of(
      Pass::forward, inputs[0], inputs[1], inputs[2], settings_.causal);
  return {shape_of(Operand::O, problem), shape_of(Operand::L, problem)};
}

bool AttentionForward::is_equivalent(const mx::Primitive& other) const {
  return settings_ == static_cast<const AttentionForward&>(other).settings_;
}

const char* AttentionForward::name() const {
  return "TesseraAttention";
}

AttentionBackward::AttentionBackward(
    mx::Stream stream, AttentionSettings settings, std::vector<Operand> wanted)
    : Primitive(stream), settings_(settings), wanted_(std::move(wanted)) {}

void AttentionBackward::eval_cpu(
    const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) {
  constexpr Operand order[] = {
      Operand::Q,
      Operand::K,
      Operand::V,
      Operand::O,
      Operand::L,
      Operand::dO,
      Operand::dL};
  CpuCall call(
      problem_of(Pass::dQ, inputs[0], inputs[1], inputs[2], settings_.causal),
      settings_.scale,
      settings_.block_size);
  for (std::size_t i = 0; i < std::size(order); ++i) {
    call.add(order[i], inputs[i]);
  }
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    call.allocate(wanted_[i], outputs[i]);
  }
  const auto want = [&](Operand operand) {
    return std::find(wanted_.begin(), wanted_.end(), operand) != wanted_.end();
  };
  if (want(Operand::dQ) || want(Operand::dK)) {
    call.add_row_dots();
  }
  if (want(Operand::dQ)) {
    call.add_pass(Pass::dQ);
  }
  if (want(Operand::dK) || want(Operand::dV)) {
    call.add_pass(Pass::dKdV);
  }
  call.dispatch(stream());
}

void AttentionBackward::eval_gpu(
    const std::vector<mx::array>&, std::vector<mx::array>&) {
  no_gpu();
}

std::vector<mx::array> AttentionBackward::vjp(
    const std::vector<mx::array>&,
    const std::vector<mx::array>&,
    const std::vector<int>&,
    const std::vector<mx::array>&) {
  reject(
      "attention",
      "expected a first derivative; got a second derivative (take it with "
      "implementation mlx)");
}

std::pair<std::vector<mx::array>, std::vector<int>> AttentionBackward::vmap(
    const std::vector<mx::array>& inputs, const std::vector<int>& axes) {
  return mapped(
      inputs,
      axes,
      std::make_shared<AttentionBackward>(stream(), settings_, wanted_));
}

std::vector<mx::Shape> AttentionBackward::output_shapes(
    const std::vector<mx::array>& inputs) {
  const auto problem =
      problem_of(Pass::dQ, inputs[0], inputs[1], inputs[2], settings_.causal);
  std::vector<mx::Shape> shapes;
  for (const auto operand : wanted_) {
    shapes.push_back(shape_of(operand, problem));
  }
  return shapes;
}

bool AttentionBackward::is_equivalent(const mx::Primitive& other) const {
  const auto& backward = static_cast<const AttentionBackward&>(other);
  return settings_ == backward.settings_ && wanted_ == backward.wanted_;
}

const char* AttentionBackward::name() const {
  return "TesseraAttentionBackward";
}

} // namespace tessera
