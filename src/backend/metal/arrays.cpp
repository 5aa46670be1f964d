#include "backend/metal/arrays.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace tessera::metal {

namespace {

constexpr auto f32 = Element::float32;

} // namespace

const Array* find(const Call& call, std::string_view name) {
  const auto at = std::ranges::find(call.arrays, name, &Array::name);
  return at == call.arrays.end() ? nullptr : &*at;
}

Array row_vector(const Call& call, std::string_view name) {
  const auto& p = call.problem;
  return {std::string(name), f32, {p.B, p.Hq, p.Nq}};
}

std::vector<Array> operands(
    const Call& call, std::initializer_list<std::string_view> names) {
  std::vector<Array> found;
  for (const auto name : names) {
    if (const auto* array = find(call, name)) {
      found.push_back(*array);
    } else if (name == "D") {
      found.push_back(row_vector(call, name));
    }
  }
  return found;
}

Array layout_of(const std::vector<Array>& operands) {
  Array layout{std::string(layout_name), Element::int64, {}};
  for (const auto& operand : operands) {
    std::vector<double> steps(operand.shape.size());
    double step = 1;
    for (std::size_t axis = steps.size(); axis-- > 0;) {
      steps[axis] = step;
      step *= operand.shape[axis];
    }
    layout.values.insert(
        layout.values.end(), operand.shape.begin(), operand.shape.end());
    layout.values.insert(layout.values.end(), steps.begin(), steps.end());
  }
  layout.shape = {static_cast<int>(layout.values.size())};
  return layout;
}

std::vector<Array> inputs_of(const Call& call, Pass pass) {
  if (pass == Pass::delta) {
    auto inputs = operands(call, {"O", "dO", "dL"});
    inputs.push_back(layout_of(inputs));
    return inputs;
  }
  const bool forward = pass == Pass::forward;
  auto inputs = forward ? operands(call, {"Q", "K", "V"})
                        : operands(call, {"Q", "K", "V", "dO", "L", "D"});
  for (const auto& array : operands(
           call,
           {"bias",
            "slopes",
            "sinks",
            "mask",
            "blocks",
            "segments_q",
            "segments_k",
            "prefix",
            "seed"})) {
    if (array.name != "sinks" || forward) {
      inputs.push_back(array);
    }
  }
  inputs.push_back(layout_of(inputs));
  const auto& p = call.problem;
  const auto& n = call.numbers;
  const auto threshold = static_cast<std::uint32_t>(
      std::floor(static_cast<double>(n.dropout) * 0x1p32));
  inputs.push_back(
      {"geometry",
       Element::int32,
       {6},
       {static_cast<double>(p.left),
        static_cast<double>(p.right),
        static_cast<double>(p.chunk),
        static_cast<double>(p.block_rows),
        static_cast<double>(p.block_columns),
        static_cast<double>(static_cast<std::int32_t>(threshold))}});
  inputs.push_back(
      {"numbers", f32, {3}, {n.scale, n.softcap, 1.0f / (1.0f - n.dropout)}});
  return inputs;
}

Array piece(std::array<int, 7> numbers) {
  return {"piece", Element::int32, {7}, {numbers.begin(), numbers.end()}};
}

std::vector<Array> results(const Call& call, Pass pass, Extent extent) {
  const auto& p = call.problem;
  const auto [B, H, rows] = extent;
  const auto element = element_of(p.dtype);
  switch (pass) {
    case Pass::dq: {
      std::vector<Array> all = {{"dQ", element, {B, H, rows, p.D}}};
      if (p.features.alibi) {
        all.push_back({"dslope_rows", f32, {B, H, rows}});
      }
      return all;
    }
    case Pass::dkv:
      return {
          {"dK", element, {B, H, rows, p.D}},
          {"dV", element, {B, H, rows, p.Dv}}};
    case Pass::delta:
      return {{"D", f32, {B, H, rows}}};
    case Pass::dbias: {
      const auto* bias = find(call, "bias");
      return {{"dbias", bias->element, {B, H, rows, bias->shape[3]}}};
    }
    default:
      return {{"O", element, {B, H, rows, p.Dv}}, {"L", f32, {B, H, rows}}};
  }
}

std::vector<Array> sums(
    const Call& call, const Plan& plan, Extent extent, int tiles) {
  const auto& p = call.problem;
  const auto [B, H, rows] = extent;
  switch (plan.pass) {
    case Pass::dq: {
      std::vector<Array> all = {{"dQ_sum", f32, {B, H, rows, p.D}}};
      if (p.features.alibi) {
        all.push_back({"slope_sums", f32, {B, H, rows, 4}});
      }
      return all;
    }
    case Pass::dkv:
      return {
          {"dK_sum", f32, {B, H, rows, p.D}},
          {"dV_sum", f32, {B, H, rows, p.Dv}}};
    case Pass::dbias:
      return {
          {"totals",
           f32,
           {B, H, tiles, plan.rows / 8 * plan.columns / 8 * 64}}};
    default:
      return {
          {"O_sum", f32, {B, H, rows, p.Dv}},
          {"m_sum", f32, {B, H, rows}},
          {"l_sum", f32, {B, H, rows, 4}}};
  }
}

} // namespace tessera::metal
