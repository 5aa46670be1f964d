#include "api/node/attention_node.h"

#include <algorithm>
#include <optional>

#include "api/metal/proof.h"
#include "api/metal/run.h"
#include "api/node/cpu_call.h"
#include "api/node/vmap.h"
#include "tessera/error.h"

namespace tessera {

namespace {

// The gradients and what they are gradients of.
constexpr std::pair<Operand, Operand> gradients[] = {
    {Operand::dQ, Operand::Q},
    {Operand::dK, Operand::K},
    {Operand::dV, Operand::V},
    {Operand::dbias, Operand::bias},
    {Operand::dslopes, Operand::slopes},
    {Operand::dsinks, Operand::sinks}};

std::optional<Operand> gradient_of(Operand argument) {
  for (const auto& [gradient, of] : gradients) {
    if (of == argument) {
      return gradient;
    }
  }
  return std::nullopt;
}

std::vector<Operand> backward_inputs(const AttentionSettings& settings) {
  auto inputs = inputs_of(settings);
  inputs.insert(
      inputs.end(), {Operand::O, Operand::L, Operand::dO, Operand::dL});
  return inputs;
}

// Operands whose last axis holds features.
bool is_wide(Operand operand) {
  return operand == Operand::Q || operand == Operand::K ||
      operand == Operand::V || operand == Operand::O || operand == Operand::dO;
}

// Zeros that take no memory, for what has no gradient.
mx::array no_gradient(const mx::array& x, mx::Stream stream) {
  return mx::broadcast_to(mx::array(0, x.dtype()), x.shape(), stream);
}

} // namespace

AttentionNode::AttentionNode(
    mx::Stream stream,
    AttentionSettings settings,
    std::vector<Operand> inputs,
    std::vector<Operand> outputs)
    : Primitive(stream),
      settings_(settings),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      stream_(stream) {}

std::vector<mx::array> AttentionNode::apply(
    const std::vector<mx::array>& inputs) const {
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (const auto output : outputs_) {
    shapes.push_back(shape_of(output, inputs));
    dtypes.push_back(dtype_of(output, inputs));
  }
  return mx::array::make_arrays(shapes, dtypes, again(), inputs);
}

void AttentionNode::eval_cpu(
    const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) {
  const auto backend =
      settings_.route == Route::cpu ? std::nullopt : metal_backend(on());
  if (backend) {
    mx::synchronize(on()); // the inputs are there
    eval_metal(*backend, inputs, outputs);
    return;
  }
  CpuCall call(
      problem_of(Pass::forward, settings_, inputs[0], inputs[1], inputs[2]),
      settings_);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    call.add(inputs_[i], inputs[i]);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    call.allocate(outputs_[i], outputs[i]);
  }
  for (const auto pass : passes()) {
    call.add_pass(pass);
  }
  call.dispatch(on());
}

void AttentionNode::eval_gpu(
    const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) {
  const auto backend = metal_backend(on());
  if (!backend) {
    fail(
        "attention",
        "expected a stream of the CPU or of an Apple GPU; got one of another "
        "device");
  }
  eval_metal(*backend, inputs, outputs);
}

void AttentionNode::eval_metal(
    const MetalBackend& backend,
    const std::vector<mx::array>& inputs,
    std::vector<mx::array>& outputs) {
  auto call = metal_call(
      problem_of(Pass::forward, settings_, inputs[0], inputs[1], inputs[2]),
      settings_,
      backend);
  NamedArrays read;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto name = metal::letter(inputs_[i]);
    const bool features = inputs[i].ndim() == 4 && is_wide(inputs_[i]);
    const auto array =
        features ? without_gaps(inputs[i], *backend.launcher) : inputs[i];
    call.arrays.push_back(described(name, array));
    read.emplace(name, array);
  }
  NamedArrays written;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    written.emplace(metal::letter(outputs_[i]), outputs[i]);
  }
  const auto scheduled = steps(call);
  if (const auto* refusal = std::get_if<Refusal>(&scheduled)) {
    fail("attention", "{}", refusal->reason);
  }
  run(std::get<std::vector<metal::Step>>(scheduled),
      std::move(read),
      written,
      *backend.launcher);
}

std::vector<mx::array> AttentionNode::jvp(
    const std::vector<mx::array>&,
    const std::vector<mx::array>&,
    const std::vector<int>&) {
  reject(
      "attention",
      "expected a gradient in reverse (grad, vjp); got a forward one (jvp)");
}

std::pair<std::vector<mx::array>, std::vector<int>> AttentionNode::vmap(
    const std::vector<mx::array>& inputs, const std::vector<int>& axes) {
  const Mapped mapped = {settings_, inputs_, outputs_, inputs, axes, on()};
  const auto outputs = mapped_outputs(
      mapped, [this](const std::vector<mx::array>& x) { return apply(x); });
  return {outputs, std::vector<int>(outputs.size(), 0)};
}

std::vector<mx::Shape> AttentionNode::output_shapes(
    const std::vector<mx::array>& inputs) {
  std::vector<mx::Shape> shapes;
  for (const auto output : outputs_) {
    shapes.push_back(shape_of(output, inputs));
  }
  return shapes;
}

// MLX asks only of two nodes of one class.
bool AttentionNode::is_equivalent(const mx::Primitive& other) const {
  const auto& node = static_cast<const AttentionNode&>(other);
  return settings_ == node.settings_ && outputs_ == node.outputs_;
}

mx::Shape AttentionNode::shape_of(
    Operand output, const std::vector<mx::array>& inputs) const {
  for (const auto& [gradient, argument] : gradients) {
    if (gradient == output) {
      return inputs[position(inputs_, argument)].shape();
    }
  }
  const auto problem =
      problem_of(Pass::forward, settings_, inputs[0], inputs[1], inputs[2]);
  const auto s = shape(output, problem);
  mx::Shape shape(s.begin(), s.end());
  if (is_row_vector(output)) {
    shape.pop_back();
  }
  return shape;
}

mx::Dtype AttentionNode::dtype_of(
    Operand output, const std::vector<mx::array>& inputs) const {
  for (const auto& [gradient, argument] : gradients) {
    if (gradient == output) {
      return inputs[position(inputs_, argument)].dtype();
    }
  }
  return is_row_vector(output) ? mx::float32 : inputs[0].dtype();
}

AttentionForward::AttentionForward(
    mx::Stream stream, AttentionSettings settings)
    : AttentionNode(
          stream, settings, inputs_of(settings), {Operand::O, Operand::L}) {}

std::vector<mx::array> AttentionForward::vjp(
    const std::vector<mx::array>& primals,
    const std::vector<mx::array>& cotangents,
    const std::vector<int>& argnums,
    const std::vector<mx::array>& outputs) {
  std::vector<Operand> wanted;
  for (const int argument : argnums) {
    const auto gradient =
        gradient_of(inputs_[static_cast<std::size_t>(argument)]);
    if (gradient) {
      wanted.push_back(*gradient);
    }
  }
  std::vector<mx::array> computed;
  if (!wanted.empty()) {
    auto inputs = primals;
    inputs.insert(inputs.end(), outputs.begin(), outputs.end());
    inputs.push_back(mx::astype(cotangents[0], outputs[0].dtype(), on()));
    inputs.push_back(mx::astype(cotangents[1], mx::float32, on()));
    computed = backward_node(primals, wanted).apply(inputs);
  }
  std::vector<mx::array> all;
  auto next = computed.begin();
  for (const int argument : argnums) {
    const auto i = static_cast<std::size_t>(argument);
    all.push_back(
        gradient_of(inputs_[i]) ? *next++ : no_gradient(primals[i], on()));
  }
  return all;
}

// On the CPU where the GPU's kernels were found wrong.
AttentionBackward AttentionForward::backward_node(
    const std::vector<mx::array>& primals,
    const std::vector<Operand>& wanted) const {
  const auto backend = metal_backend(on());
  const bool trusted = !backend ||
      why_not_trusted(
          *backend,
          on(),
          problem_of(
              Pass::forward, settings_, primals[0], primals[1], primals[2]),
          settings_,
          Direction::backward)
          .empty();
  return trusted
      ? AttentionBackward(on(), settings_, wanted)
      : AttentionBackward(
            mx::default_stream(mx::Device::cpu), settings_.on_cpu(), wanted);
}

const char* AttentionForward::name() const {
  return "TesseraAttention";
}

std::shared_ptr<AttentionNode> AttentionForward::again() const {
  return std::make_shared<AttentionForward>(on(), settings_);
}

std::vector<Pass> AttentionForward::passes() const {
  return {Pass::forward};
}

metal::Scheduled AttentionForward::steps(const metal::Call& call) const {
  return metal::forward_steps(call);
}

AttentionBackward::AttentionBackward(
    mx::Stream stream, AttentionSettings settings, std::vector<Operand> wanted)
    : AttentionNode(
          stream, settings, backward_inputs(settings), std::move(wanted)) {}

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

const char* AttentionBackward::name() const {
  return "TesseraAttentionBackward";
}

std::shared_ptr<AttentionNode> AttentionBackward::again() const {
  return std::make_shared<AttentionBackward>(on(), settings_, outputs_);
}

metal::Scheduled AttentionBackward::steps(const metal::Call& call) const {
  return metal::backward_steps(call, outputs_);
}

// The gradient of a bias goes by tiles of the bias, in a pass of its own.
std::vector<Pass> AttentionBackward::passes() const {
  const auto is_bias = [](Operand operand) {
    return operand == Operand::dbias;
  };
  std::vector<Pass> passes;
  if (!std::all_of(outputs_.begin(), outputs_.end(), is_bias)) {
    passes.push_back(Pass::backward);
  }
  if (std::any_of(outputs_.begin(), outputs_.end(), is_bias)) {
    passes.push_back(Pass::dbias);
  }
  return passes;
}

} // namespace tessera
