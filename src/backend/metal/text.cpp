#include "backend/metal/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "embedded/along_metal.h"
#include "embedded/begin_metal.h"
#include "embedded/combine_metal.h"
#include "embedded/dbias_metal.h"
#include "embedded/delta_metal.h"
#include "embedded/dkv_metal.h"
#include "embedded/dq_metal.h"
#include "embedded/dsinks_metal.h"
#include "embedded/dslopes_metal.h"
#include "embedded/forward_metal.h"
#include "embedded/gradient_metal.h"
#include "embedded/keys_metal.h"
#include "embedded/lane_metal.h"
#include "embedded/mask_rule.h"
#include "embedded/operand_metal.h"
#include "embedded/products_metal.h"
#include "embedded/scores_metal.h"
#include "embedded/softmax_metal.h"
#include "embedded/sum_metal.h"
#include "embedded/tile_metal.h"

namespace tessera::metal {

namespace {

// MLX passes an array of fewer elements in the constant address space.
constexpr int elements_on_device = 8;

// `enum` and not `constexpr`: constants of the program's scope would have to
// say in which address space they lie.
std::string numbers_of(const Plan& plan) {
  const auto need = resources(plan);
  return fmt::format(
      "enum : int {{\n"
      "  R = {}, // fragments of 8 rows of a simdgroup\n"
      "  N = {}, // fragments of 8 columns of a tile\n"
      "  simdgroups = {},\n"
      "  threads = {},\n"
      "  M = {}, // rows of a threadgroup\n"
      "  head_dim = {},\n"
      "  value_dim = {},\n"
      "  head_block = {}, // features staged at a time\n"
      "  value_block = {},\n"
      "  staging = {},\n"
      "  staged_gap = {},\n"
      "  staged_elements = {},\n"
      "  staged_offset = {},\n"
      "  hold_own = {},\n"
      "  hold_value = {},\n"
      "  slots_of_sum = {}, // spilled floats of a simdgroup\n"
      "  slots_of_dK = {},\n"
      "  packed_rows = {},\n"
      "  keys_in_rows = {}\n"
      "}};\n",
      plan.rows / 8,
      plan.columns / 8,
      plan.simdgroups,
      plan.threads(),
      plan.rows_of_threadgroup(),
      plan.D,
      plan.Dv,
      plan.head_block,
      plan.value_block,
      static_cast<int>(plan.staging),
      staged_gap(plan.dtype),
      need.staged_elements,
      need.staged_offset,
      int{plan.hold_own},
      int{plan.hold_value},
      need.spilled_floats,
      plan.rows / 8 * padded(plan.D) / 8 * 64,
      int{plan.packed},
      int{plan.pass == Pass::dkv});
}

std::string branches_of(const Plan& plan, Part part) {
  const auto& f = plan.features;
  const std::pair<const char*, int> flags[] = {
      {"CAUSAL", plan.causal},
      {"HAS_WINDOW", plan.window},
      {"HAS_CHUNK", plan.chunk},
      {"HAS_BLOCKS", plan.blocks},
      {"HAS_PREFIX", f.prefix},
      {"HAS_SEGMENTS", f.segments},
      {"HAS_MASK", f.mask},
      {"HAS_BIAS", f.bias},
      {"HAS_ALIBI", f.alibi},
      {"HAS_SOFTCAP", f.softcap},
      {"HAS_SINKS", f.sinks},
      {"HAS_DROPOUT", f.dropout},
      {"IN_RUNS", plan.runs},
      {"STAGED", static_cast<int>(plan.staging)},
      {"SPILLED", static_cast<int>(plan.sums)},
      {"BEGINS", part.begins},
      {"ENDS", part.ends}};
  std::string text;
  for (const auto& [name, value] : flags) {
    text += fmt::format("#define {} {}\n", name, value);
  }
  return text;
}

std::string types_of(const Launch& launch) {
  auto text =
      fmt::format("using T = {};\n", type_of(element_of(launch.plan.dtype)));
  for (const auto& input : launch.inputs) {
    text += fmt::format(
        "using {0}_type = {1};\nusing {0}_pointer = const {2} {1}*;\n",
        input.name,
        type_of(input.element),
        input.size() < elements_on_device ? "constant" : "device");
  }
  for (const auto& output : launch.outputs) {
    text += fmt::format(
        "using {}_type = {};\n", output.name, type_of(output.element));
  }
  return text;
}

// Where the layout has what of which operand.
std::string layout_of(const std::vector<Array>& inputs) {
  std::string text;
  std::size_t at = 0;
  for (const auto& input : inputs) {
    if (input.name == layout_name) {
      break;
    }
    const auto axes = input.shape.size();
    text += fmt::format(
        "#define {0}_sides (layout + {1})\n#define {0}_steps (layout + {2})\n",
        input.name,
        at,
        at + axes);
    at += 2 * axes;
  }
  return text;
}

std::string_view loop_of(Pass pass) {
  switch (pass) {
    case Pass::forward:
      return forward_metal;
    case Pass::combine:
      return combine_metal;
    case Pass::delta:
      return delta_metal;
    case Pass::dq:
      return dq_metal;
    case Pass::dkv:
      return dkv_metal;
    case Pass::dbias:
      return dbias_metal;
    case Pass::dslopes:
      return dslopes_metal;
    case Pass::dsinks:
      return dsinks_metal;
  }
  return {};
}

} // namespace

std::string_view type_of(Element element) {
  constexpr std::string_view names[] = {
      "float",
      "float16_t",
      "bfloat16_t",
      "int32_t",
      "int64_t",
      "uint32_t",
      "bool"};
  return names[static_cast<int>(element)];
}

std::string header_of(const Launch& launch) {
  const auto& plan = launch.plan;
  const auto& inputs = launch.inputs;
  auto text = types_of(launch) + layout_of(inputs) + numbers_of(plan);
  text +=
      "#define UNROLL _Pragma(\"clang loop unroll(full)\")\n"
      "#define ROLLED _Pragma(\"clang loop unroll(disable)\")\n";
  text += lane_metal;
  if (!by_scores(plan.pass)) {
    const bool has_dL = std::any_of(
        inputs.begin(), inputs.end(), [](auto& a) { return a.name == "dL"; });
    text += fmt::format("#define HAS_DL {}\n", int{has_dL});
    return text;
  }
  text += branches_of(plan, launch.part);
  text += mask_rule;
  text += "using namespace tessera;\n";
  for (const auto verbs :
       {operand_metal,
        products_metal,
        along_metal,
        sum_metal,
        scores_metal,
        tile_metal,
        softmax_metal,
        gradient_metal}) {
    text += '\n';
    text += verbs;
  }
  return text;
}

std::string body_of(const Launch& launch) {
  const std::pair<std::string_view, std::string_view> parts[] = {
      {"#include \"begin.metal\"\n", begin_metal},
      {"#include \"keys.metal\"\n", keys_metal}};
  std::string text(loop_of(launch.plan.pass));
  for (const auto& [include, part] : parts) {
    const auto at = text.find(include);
    if (at != std::string::npos) {
      text.replace(at, include.size(), part);
    }
  }
  return text;
}

} // namespace tessera::metal
