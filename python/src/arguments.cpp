#include "arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>

#include <cstdint>
#include <string>

#include "tessera/error.h"

namespace tessera::python {

namespace {

constexpr const char* op = "attention";

// A tuple or a list: MLX's arrays are sequences too, and those of no axis have
// no length.
bool has_parts(nb::handle value, std::size_t count) {
  const bool several =
      nb::isinstance<nb::tuple>(value) || nb::isinstance<nb::list>(value);
  return several && nb::len(value) == count;
}

Segments segments_of(nb::handle value) {
  constexpr const char* what = "segments, a pair (q, k) or one array, each";
  if (nb::isinstance<nb::tuple>(value) || nb::isinstance<nb::list>(value)) {
    if (nb::len(value) != 2) {
      wrong_type(op, "segments that are one array or a pair (q, k)", value);
    }
    return {array_of(value[0], op, what), array_of(value[1], op, what)};
  }
  const auto both = array_of(value, op, what);
  return {both, both};
}

BlockList blocks_of(nb::handle value) {
  constexpr const char* expected =
      "blocks (list, rows, columns), an mlx.core.array and two ints";
  if (!has_parts(value, 3)) {
    wrong_type(op, expected, value);
  }
  return {
      required<mx::array>(value[0], op, expected),
      required<int>(value[1], op, expected),
      required<int>(value[2], op, expected)};
}

// An int, or the array that it may be as well.
template <class Int>
mx::array number_or_array(nb::handle value, const char* expected) {
  return nb::isinstance<nb::int_>(value)
      ? mx::array(required<Int>(value, op, expected))
      : required<mx::array>(value, op, expected);
}

// Scores to add, beside those of another keyword.
void add_scores(AttentionOptions& options, const mx::array& scores) {
  options.bias = options.bias ? mx::add(*options.bias, scores) : scores;
}

// MLX's masks: the word, a boolean array, or scores to add.
void read_mask(AttentionOptions& options, nb::handle value) {
  if (nb::isinstance<nb::str>(value)) {
    const auto word = nb::cast<std::string>(value);
    if (word != "causal") {
      reject(op, "expected a mask \"causal\" or an array; got \"{}\"", word);
    }
    options.causal = true;
    return;
  }
  const auto mask = array_of(value, op, "a mask, \"causal\" or one");
  if (mask.dtype() == mx::bool_) {
    options.mask = mask;
  } else {
    add_scores(options, mask);
  }
}

const Readers<AttentionKeywords> readers = {
    {"scale",
     [](auto& c, auto value) {
       c.options.scale = required<float>(value, op, "a scale that is a number");
     }},
    {"causal",
     [](auto& c, auto value) {
       c.options.causal |= required<bool>(value, op, "causal that is a bool");
     }},
    {"mask",
     [](auto& c, auto value) {
       read_mask(c.options, value);
     }},
    {"bias",
     [](auto& c, auto value) {
       add_scores(c.options, array_of(value, op, "a bias"));
     }},
    {"window",
     [](auto& c, auto value) {
       c.options.window = window_of(value, op);
     }},
    {"segments",
     [](auto& c, auto value) {
       c.options.segments = segments_of(value);
     }},
    {"prefix",
     [](auto& c, auto value) {
       c.options.prefix = number_or_array<std::int32_t>(
           value, "a prefix that is an int of 32 bits or an mlx.core.array");
     }},
    {"chunk",
     [](auto& c, auto value) {
       c.options.chunk = required<int>(value, op, "a chunk that is an int");
     }},
    {"alibi",
     [](auto& c, auto value) {
       c.options.alibi = array_of(value, op, "alibi slopes, one array");
     }},
    {"softcap",
     [](auto& c, auto value) {
       c.options.softcap =
           required<float>(value, op, "a softcap that is a number");
     }},
    {"sinks",
     [](auto& c, auto value) {
       c.options.sinks = array_of(value, op, "sinks, one array");
     }},
    {"dropout",
     [](auto& c, auto value) {
       c.options.dropout =
           required<float>(value, op, "a dropout that is a number");
     }},
    {"seed",
     [](auto& c, auto value) {
       c.options.seed = number_or_array<std::int64_t>(
           value, "a seed that is an int of 64 bits or an mlx.core.array");
     }},
    {"blocks",
     [](auto& c, auto value) {
       c.options.blocks = blocks_of(value);
     }},
    {"return_lse",
     [](auto& c, auto value) {
       c.return_lse = required<bool>(value, op, "return_lse that is a bool");
     }},
    {"implementation",
     [](auto& c, auto value) {
       c.options.implementation = implementation_of(value, op);
     }},
    {"block_size",
     [](auto& c, auto value) {
       c.options.block_size =
           required<int>(value, op, "a block_size that is an int");
     }},
    {"stream", [](auto& c, auto value) {
       c.stream = stream_of(value, op);
     }}};

} // namespace

void wrong_type(const char* name, const char* expected, nb::handle got) {
  const auto text = fmt::format(
      "[{}] expected {}; got {}",
      name,
      expected,
      nb::cast<std::string>(nb::repr(got.type())));
  throw nb::type_error(text.c_str());
}

void unknown_keyword(
    const char* name,
    const std::vector<std::string_view>& known,
    const char* got) {
  const auto text = fmt::format(
      "[{}] expected the keywords {}; got {}",
      name,
      fmt::join(known, ", "),
      got);
  throw nb::type_error(text.c_str());
}

mx::array array_of(nb::handle value, const char* name, const char* what) {
  if (nb::isinstance<mx::array>(value)) {
    return nb::cast<mx::array>(value);
  }
  const auto expected = fmt::format("{} that is an mlx.core.array", what);
  wrong_type(name, expected.c_str(), value);
}

mx::StreamOrDevice stream_of(nb::handle value, const char* name) {
  constexpr const char* expected =
      "a stream that is a stream or a device of MLX";
  if (value.is_none()) {
    return {};
  }
  if (nb::isinstance<nb::int_>(value)) { // which would pass as a kind of device
    wrong_type(name, expected, value);
  }
  return required<mx::StreamOrDevice>(value, name, expected);
}

Window window_of(nb::handle value, const char* name) {
  constexpr const char* expected =
      "a window (left, right) of two ints, None where a side has no bound";
  if (!has_parts(value, 2)) {
    wrong_type(name, expected, value);
  }
  return {
      optional<int>(value[0], name, expected),
      optional<int>(value[1], name, expected)};
}

Implementation implementation_of(nb::handle value, const char* name) {
  static const std::map<std::string, Implementation> words = {
      {"auto", Implementation::automatic},
      {"tessera", Implementation::tessera},
      {"mlx", Implementation::mlx}};
  const auto word =
      required<std::string>(value, name, "an implementation that is a str");
  const auto found = words.find(word);
  if (found == words.end()) {
    reject(
        name,
        "expected an implementation \"auto\", \"tessera\" or \"mlx\"; got "
        "\"{}\"",
        word);
  }
  return found->second;
}

AttentionKeywords attention_keywords(const nb::kwargs& given) {
  AttentionKeywords keywords;
  read_keywords(op, readers, given, keywords);
  return keywords;
}

std::string attention_signature(
    const char* name, const char* result, const char* return_lse) {
  return fmt::format(
      "def {}(q: mlx.core.array, k: mlx.core.array, v: mlx.core.array, *, "
      "scale: float | None = None, causal: bool = False, "
      "mask: str | mlx.core.array | None = None, "
      "bias: mlx.core.array | None = None, "
      "window: tuple[int | None, int | None] | None = None, "
      "segments: mlx.core.array | tuple[mlx.core.array, mlx.core.array] | None "
      "= None, "
      "prefix: int | mlx.core.array | None = None, chunk: int | None = None, "
      "alibi: mlx.core.array | None = None, softcap: float | None = None, "
      "sinks: mlx.core.array | None = None, dropout: float = 0.0, "
      "seed: int | mlx.core.array | None = None, "
      "blocks: tuple[mlx.core.array, int, int] | None = None, "
      "return_lse: {}, implementation: str = 'auto', "
      "block_size: int | None = None, "
      "stream: mlx.core.Stream | mlx.core.ThreadLocalStream | "
      "mlx.core.Device | mlx.core.DeviceType | None = None) -> {}",
      name,
      return_lse,
      result);
}

} // namespace tessera::python
