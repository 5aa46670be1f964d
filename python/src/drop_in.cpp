#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "arguments.h"
#include "module.h"
#include "tessera/error.h"

namespace tessera::python {

namespace {

using namespace nb::literals;

// A call that MLX's op has taken, as ours reads it.
struct Call {
  mx::array q;
  mx::array k;
  mx::array v;
  AttentionOptions options;
  mx::StreamOrDevice stream;
};

nb::object argument(
    const nb::args& args,
    const nb::kwargs& kwargs,
    std::size_t position,
    const char* name) {
  return position < args.size() ? nb::object(args[position])
                                : nb::object(kwargs[name]);
}

// `dtype` is the one that MLX promotes q, k and v to.
Call read_call(
    const nb::args& args,
    const nb::kwargs& kwargs,
    mx::Dtype dtype,
    AttentionOptions options) {
  const auto keyword = [&](const char* name) -> nb::object {
    return kwargs.contains(name) ? nb::object(kwargs[name])
                                 : nb::object(nb::none());
  };
  constexpr const char* op = "scaled_dot_product_attention";
  const auto stream = stream_of(keyword("stream"), op);
  const auto array = [&](const nb::object& value) {
    return mx::astype(nb::cast<mx::array>(value), dtype, stream);
  };
  options.scale = nb::cast<float>(kwargs["scale"]);
  if (const auto sinks = keyword("sinks"); !sinks.is_none()) {
    options.sinks = nb::cast<mx::array>(sinks);
  }
  const auto mask = keyword("mask");
  if (nb::isinstance<nb::str>(mask)) {
    options.causal = nb::len(mask) > 0;
  } else if (!mask.is_none()) {
    const auto scores = nb::cast<mx::array>(mask);
    if (scores.dtype() == mx::bool_) {
      options.mask = scores;
    } else {
      options.bias = mx::astype(scores, dtype, stream);
    }
  }
  return {
      array(argument(args, kwargs, 0, "q")),
      array(argument(args, kwargs, 1, "k")),
      array(argument(args, kwargs, 2, "v")),
      options,
      stream};
}

// Whether a call stays with MLX's op: by `automatic` where that was measured
// faster, and where ours does not go (a dtype, a GPU). What only ours takes, a
// block size or segments, is never left out.
bool stays(const Call& call) {
  if (call.options.segments || call.options.block_size != 0) {
    return false;
  }
  if (call.options.implementation != Implementation::automatic) {
    return call.options.implementation == Implementation::mlx;
  }
  try {
    return explain_attention(call.q, call.k, call.v, call.options, call.stream)
               .name == "mlx";
  } catch (const InputError&) {
    return true;
  }
}

// 0, what the plan takes, for None.
int block_size_of(nb::handle value) {
  const auto size =
      optional<int>(value, "patch", "a block_size that is an int");
  if (size && *size < 1) {
    reject("patch", "expected a block_size of 1 or more; got {}", *size);
  }
  return size.value_or(0);
}

// A function for mx.fast.scaled_dot_product_attention's place. MLX's own makes
// its node first, so that what it refuses, and in which words, and the dtype of
// the output are its own; the node is dropped unevaluated where ours takes the
// call. force_fused asks for MLX's kernels by definition.
nb::callable drop_in(
    const nb::callable& original,
    nb::handle implementation,
    nb::handle block_size,
    const nb::object& segments) {
  AttentionOptions common;
  common.implementation = implementation_of(implementation, "patch");
  common.block_size = block_size_of(block_size);
  if (!segments.is_none() && !nb::isinstance<nb::callable>(segments)) {
    wrong_type("patch", "segments that are a function", segments);
  }
  const auto call = [=](const nb::args& args,
                        const nb::kwargs& kwargs) -> nb::object {
    auto theirs = original(*args, **kwargs);
    if (kwargs.contains("force_fused") &&
        nb::cast<bool>(kwargs["force_fused"])) {
      return theirs;
    }
    auto options = common;
    const nb::object ids = segments.is_none() ? nb::none() : segments();
    if (!ids.is_none()) {
      const auto array = nb::cast<mx::array>(ids);
      options.segments = Segments{array, array};
    }
    auto ours =
        read_call(args, kwargs, nb::cast<mx::array&>(theirs).dtype(), options);
    if (stays(ours)) {
      return theirs;
    }
    if (ours.options.implementation == Implementation::automatic) {
      ours.options.implementation = Implementation::tessera;
    }
    return nb::cast(
        attention(ours.q, ours.k, ours.v, ours.options, ours.stream));
  };
  return nb::borrow<nb::callable>(nb::cpp_function(
      call,
      nb::name("scaled_dot_product_attention"),
      nb::cast<std::string>(original.attr("__doc__")).c_str()));
}

} // namespace

void add_drop_in(nb::module_& module) {
  module.def(
      "drop_in",
      &drop_in,
      "original"_a,
      "implementation"_a,
      "block_size"_a.none(),
      "segments"_a.none(),
      "A function that takes the place of mx.fast.scaled_dot_product_attention."
      "\n\n`segments` is None, or a function that returns the ids [B, N] of "
      "the\npacked documents of the calls that follow, or None.");
}

} // namespace tessera::python
