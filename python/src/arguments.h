#pragma once

#include <mlx/mlx.h>
#include <nanobind/nanobind.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include "tessera/attention.h"

// A call of Python, its keywords turned into the options of C++. A keyword of
// another type than it takes is a TypeError in the library's form, "[op]
// expected ...; got ...".
namespace tessera::python {

namespace nb = nanobind;

// Throws TypeError.
[[noreturn]] void wrong_type(
    const char* op, const char* expected, nb::handle got);

template <class T>
T required(nb::handle value, const char* op, const char* expected) {
  try {
    return nb::cast<T>(value);
  } catch (const std::bad_cast&) {
    wrong_type(op, expected, value);
  }
}

// Nothing for None.
template <class T>
std::optional<T> optional(
    nb::handle value, const char* op, const char* expected) {
  return value.is_none() ? std::nullopt
                         : std::optional<T>(required<T>(value, op, expected));
}

// `what` is the argument's name, with what else it may be.
mx::array array_of(nb::handle value, const char* op, const char* what);
mx::StreamOrDevice stream_of(nb::handle value, const char* op);

Window window_of(nb::handle value, const char* op);

// "auto", "tessera" or "mlx"; InputError for another word.
Implementation implementation_of(nb::handle word, const char* op);

// What each keyword does with its value, by name.
template <class Target>
using Readers = std::map<std::string_view, void (*)(Target&, nb::handle)>;

// Throws TypeError.
[[noreturn]] void unknown_keyword(
    const char* op,
    const std::vector<std::string_view>& known,
    const char* got);

// None leaves what the target has without the keyword.
template <class Target>
void read_keywords(
    const char* op,
    const Readers<Target>& readers,
    const nb::kwargs& given,
    Target& target) {
  for (const auto& [key, value] : given) {
    const char* name = nb::borrow<nb::str>(key).c_str();
    const auto reader = readers.find(name);
    if (reader == readers.end()) {
      std::vector<std::string_view> known;
      for (const auto& [word, unused] : readers) {
        known.push_back(word);
      }
      unknown_keyword(op, known, name);
    }
    if (!value.is_none()) {
      reader->second(target, value);
    }
  }
}

// All that a call of `attention` says beside q, k and v.
struct AttentionKeywords {
  AttentionOptions options;
  bool return_lse = false;
  mx::StreamOrDevice stream = {};
};

AttentionKeywords attention_keywords(const nb::kwargs& given);

// The types of a function that takes what `attention` takes, for its stub.
// `return_lse` is that keyword's type, and default where it has one.
std::string attention_signature(
    const char* name, const char* result, const char* return_lse);

} // namespace tessera::python
