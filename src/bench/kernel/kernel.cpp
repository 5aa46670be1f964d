#include "bench/kernel/kernel.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mlx/fast_primitives.h>

#include <algorithm>
#include <tuple>

#include "api/arguments.h"
#include "api/metal/custom_kernel.h"
#include "api/metal/run.h"
#include "bench/kernel/facts.h"
#include "check/arrays.h"
#include "tessera/error.h"

namespace tessera {

namespace {

constexpr metal::Pass printed[] = {
    metal::Pass::forward,
    metal::Pass::delta,
    metal::Pass::dq,
    metal::Pass::dkv,
    metal::Pass::dbias,
    metal::Pass::dslopes,
    metal::Pass::dsinks};

// What `values` names `wanted`; refuses a name that none has.
template <class Value, std::size_t count>
Value named(
    const Value (&values)[count], const std::string& wanted, const char* what) {
  std::vector<std::string_view> names;
  for (const auto value : values) {
    if (metal::name(value) == wanted) {
      return value;
    }
    names.push_back(metal::name(value));
  }
  reject(
      "kernel",
      "expected {} of {}; got {}",
      what,
      fmt::join(names, ", "),
      wanted);
}

// What a case says of an operand by itself; the others are random.
bool is_given(Operand operand) {
  switch (operand) {
    case Operand::slopes:
    case Operand::segments_q:
    case Operand::segments_k:
    case Operand::prefix:
    case Operand::seed:
      return true;
    default:
      return false;
  }
}

std::vector<double> values_of(const mx::array& x) {
  const auto real = mx::contiguous(
      mx::astype(x, mx::float64, mx::Device::cpu), false, mx::Device::cpu);
  mx::eval(real);
  return {real.data<double>(), real.data<double>() + real.size()};
}

void check(metal::Pass pass, const metal::Call& call) {
  const auto& f = call.problem.features;
  const std::tuple<metal::Pass, bool, const char*> needs[] = {
      {metal::Pass::dbias, f.bias, "--bias"},
      {metal::Pass::dslopes, f.alibi, "--alibi"},
      {metal::Pass::dsinks, f.sinks, "--sinks"}};
  for (const auto& [needing, present, flag] : needs) {
    if (pass == needing && !present) {
      reject(
          "kernel",
          "expected {} for the pass {}, which is its gradient; got none",
          flag,
          metal::name(pass));
    }
  }
}

std::string_view dtype_name(metal::Element element) {
  constexpr std::string_view names[] = {
      "float32", "float16", "bfloat16", "int32", "int64", "uint32", "bool"};
  return names[static_cast<int>(element)];
}

KernelBuffer buffer_of(const metal::Array& array) {
  return {
      array.name,
      std::string(dtype_name(array.element)),
      {array.shape.begin(), array.shape.end()},
      array.values,
      array.key == array.name ? "" : array.key};
}

// MLX's own account of a launch.
KernelLaunch printed_launch(const metal::Launch& launch) {
  const auto node = custom_kernel(launch, mx::Device::gpu);
  const auto state = static_cast<const mx::fast::CustomKernel&>(*node).state();
  KernelLaunch one;
  one.name = std::get<0>(state);
  one.source =
      "#include \"mlx/backend/metal/kernels/utils.h\"\n" + std::get<1>(state);
  one.grid = launch.grid;
  one.threadgroup = launch.threadgroup;
  // MLX adds an argument for a shape, strides or ndim that a text names.
  for (const auto& [shape, strides, ndim] : std::get<4>(state)) {
    if (shape || strides || ndim) {
      fail("kernel", "expected {} to take the inputs alone", launch.name);
    }
  }
  std::ranges::transform(
      launch.inputs, std::back_inserter(one.inputs), buffer_of);
  std::ranges::transform(
      launch.outputs, std::back_inserter(one.outputs), buffer_of);
  one.plan = bench::facts_of(launch.plan);
  return one;
}

} // namespace

namespace bench {

metal::Call metal_call_of(const AttentionCase& c, metal::Family family) {
  const auto arrays = cases::empty_arrays(c);
  const auto arguments = make_arguments(
      arrays.Q,
      arrays.K,
      arrays.V,
      arrays.options,
      mx::default_stream(mx::Device::cpu));
  metal::Call call;
  call.problem = arguments.problem;
  call.numbers = arguments.settings.numbers;
  call.family = family;
  call.block_size = c.block_size;
  const auto operands = inputs_of(arguments.settings);
  for (std::size_t i = 0; i < operands.size(); ++i) {
    auto array = described(metal::letter(operands[i]), arguments.inputs[i]);
    if (is_given(operands[i])) {
      array.values = values_of(arguments.inputs[i]);
    }
    call.arrays.push_back(std::move(array));
  }
  const auto& p = call.problem;
  const auto element = metal::element_of(p.dtype);
  call.arrays.push_back({"O", element, {p.B, p.Hq, p.Nq, p.Dv}});
  call.arrays.push_back({"L", metal::Element::float32, {p.B, p.Hq, p.Nq}});
  call.arrays.push_back({"dO", element, {p.B, p.Hq, p.Nq, p.Dv}});
  return call;
}

Kernels kernels_of(const metal::Call& call, metal::Pass pass) {
  const auto scheduled = metal::steps_of(call, pass);
  if (const auto* refusal = std::get_if<Refusal>(&scheduled)) {
    reject("kernel", "{}", refusal->reason);
  }
  Kernels kernels;
  for (const auto& step : std::get<std::vector<metal::Step>>(scheduled)) {
    if (const auto* launch = std::get_if<metal::Launch>(&step)) {
      kernels.launches.push_back(printed_launch(*launch));
    } else {
      const auto& join = std::get<metal::Join>(step);
      kernels.joins.push_back({join.output.known_as(), join.parts, join.axis});
    }
  }
  return kernels;
}

} // namespace bench

Kernels metal_kernels(
    const AttentionCase& c,
    const std::string& pass_name,
    const std::string& family_name) {
  const auto pass = named(printed, pass_name, "a pass");
  const auto family = named(metal::families, family_name, "a device");
  if (c.implementation == Implementation::mlx) {
    reject(
        "kernel",
        "expected tessera's own attention, whose kernels are printed; got "
        "--use-flash-attention off");
  }
  const auto call = bench::metal_call_of(c, family);
  check(pass, call);
  return bench::kernels_of(call, pass);
}

} // namespace tessera
