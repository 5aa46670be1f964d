#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string_view>
#include <utility>

namespace tessera {

// What the caller or the user gave cannot be used: an argument, a file, a flag.
// The text is one line, "[op] expected ...; got ...". The command line ends
// with exit code 2 on it, and with 1 on anything else.
class InputError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// Throws InputError with "[op] " in front of the formatted text.
template <typename... Args>
[[noreturn]] void reject(
    std::string_view op, fmt::format_string<Args...> text, Args&&... args) {
  throw InputError(
      fmt::format("[{}] ", op) +
      fmt::format(text, std::forward<Args>(args)...));
}

// Throws std::logic_error: an invariant of ours is broken.
template <typename... Args>
[[noreturn]] void fail(
    std::string_view op, fmt::format_string<Args...> text, Args&&... args) {
  throw std::logic_error(
      fmt::format("[{}] ", op) +
      fmt::format(text, std::forward<Args>(args)...));
}

} // namespace tessera
