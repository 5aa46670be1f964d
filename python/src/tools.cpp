#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <filesystem>
#include <optional>
#include <string>
#include <variant>

#include "api/node/cpu_call.h"
#include "api/tuning.h"
#include "arguments.h"
#include "backend/cpu/peak.h"
#include "bench/tune/explain.h"
#include "bench/tune/file.h"
#include "module.h"
#include "tessera/error.h"
#include "tessera/info.h"
#include "tessera/profile.h"

// What tells: which code a call takes, the machine, the time spent.
namespace tessera::python {

namespace {

using namespace nb::literals;

nb::dict to_dict(const PassExplanation& pass) {
  nb::dict told;
  told["pass"] = name_of(pass.problem.pass);
  if (const auto* refusal = std::get_if<Refusal>(&pass.planned)) {
    told["refused"] = refusal->reason;
    return told;
  }
  const auto& plan = std::get<Plan>(pass.planned);
  told["instruction_set"] = name(plan.isa);
  told["rows"] = plan.rows;
  told["columns"] = plan.columns;
  told["threads"] = plan.threads;
  told["workspace_bytes"] = pass.workspace_bytes;
  told["tuned"] = pass.tuned;
  return told;
}

nb::dict to_dict(const KernelExplanation& kernel) {
  nb::dict told;
  told["pass"] = kernel.kernel;
  for (const auto& [name, value] : kernel.plan) {
    told[name.c_str()] = nb::cast(value);
  }
  told["tuned"] = kernel.tuned;
  return told;
}

nb::dict explain_call(
    nb::handle q, nb::handle k, nb::handle v, const nb::kwargs& given) {
  constexpr const char* op = "explain";
  const auto keywords = attention_keywords(given);
  const auto all = tessera::explain(
      array_of(q, op, "q"),
      array_of(k, op, "k"),
      array_of(v, op, "v"),
      keywords.options,
      keywords.stream);
  nb::dict told;
  told["implementation"] = all.choice.name;
  told["reason"] = all.choice.reason;
  nb::list passes;
  for (const auto& pass : all.passes) {
    passes.append(to_dict(pass));
  }
  for (const auto& kernel : all.kernels) {
    passes.append(to_dict(kernel));
  }
  told["passes"] = passes;
  return told;
}

nb::dict system_facts() {
  const auto info = system_info();
  nb::dict told;
  told["tessera_version"] = TESSERA_VERSION;
  told["mlx_version"] = info.mlx_version;
  told["device"] = info.device;
  told["backends"] = info.backends;
  told["processor"] = info.processor;
  told["instruction_set"] = info.instruction_set;
  told["threads"] = info.threads;
  told["memory_gib"] = info.memory_gib;
  told["gpu"] = info.gpu;
  told["blas"] = info.blas;
  told["blas_kernels"] = info.blas_kernels;
  return told;
}

nb::dict profile() {
  const auto taken = attention_profile().total();
  nb::dict told;
  told["calls"] = taken.calls;
  told["seconds"] = taken.seconds;
  told["flops"] = taken.flops;
  return told;
}

void use_table_of(const std::optional<std::filesystem::path>& file) {
  if (!file) {
    use_table({});
    return;
  }
  auto loaded = load_table(*file);
  if (const auto* reason = std::get_if<std::string>(&loaded)) {
    reject("use_table", "{} in {}", *reason, file->string());
  }
  use_table(std::get<Table>(std::move(loaded)));
}

} // namespace

void add_tools(nb::module_& module) {
  const auto signature =
      attention_signature("explain", "dict[str, typing.Any]", "bool = False");
  module.def(
      "explain",
      &explain_call,
      "q"_a.none(),
      "k"_a.none(),
      "v"_a.none(),
      "keywords"_a,
      nb::sig(signature.c_str()),
      R"(Which implementation a call of `attention` takes, why, and with which tiles.

Takes what `attention` takes and computes nothing: arrays of zeros serve.

Returns:
    A dictionary of ``implementation`` ("tessera/cpu", "tessera/metal" or
    "mlx"), ``reason`` and ``passes``: a dictionary for the forward and the
    backward pass (and dbias with a bias) with ``rows`` and ``columns`` of a tile,
    ``threads``, ``instruction_set``, ``workspace_bytes`` and ``tuned``; on Metal
    one for each kernel, with its plan.

Raises:
    ValueError, TypeError: As `attention` does.)");
  module.def(
      "system_info",
      &system_facts,
      R"(What this process runs on.

Returns:
    ``tessera_version``, ``mlx_version``, ``device``, ``backends``,
    ``processor``, ``instruction_set`` and ``threads`` of Tessera's kernels,
    ``memory_gib``, ``gpu``, ``blas`` that MLX's matrix products run in, and
    ``blas_kernels``.)");
  module.def(
      "matmul_rate",
      &matmul_rate,
      "n"_a = 2048,
      "repeats"_a = 3,
      nb::call_guard<nb::gil_scoped_release>(),
      "GF/s of MLX's float32 matmul of two n x n matrices.");
  module.def(
      "peak_gflops",
      [] {
        const auto device = cpu_device();
        return cpu::peak_flops(device.isa, Dtype::float32, device.threads) /
            1e9;
      },
      nb::call_guard<nb::gil_scoped_release>(),
      "The most float32 GF/s of the processor's arithmetic units, measured.");
  module.def(
      "attention_profile",
      &profile,
      R"(What Tessera's attention has taken since the program began.

Returns:
    ``calls`` of a forward or backward pass, wall ``seconds``, and ``flops``
    that the results needed (2 a product and sum, over the pairs of query and
    key that see each other). MLX's own op is not seen.)");
  module.def(
      "use_table",
      &use_table_of,
      "file"_a.none(),
      R"(Makes plans follow a table of `tune`, in the whole process.

Args:
    file: The table, an empty one where there is no such file; None for none any
        more.

Raises:
    ValueError: A file that is no table.)");
}

} // namespace tessera::python
