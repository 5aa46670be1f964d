#include "text/unicode/word_class.h"

#include <fmt/format.h>

namespace tessera::text {

namespace {

std::string word_class() {
  return "\\p{Alphabetic}\\p{Pc}\\p{Join_Control}" + category_class("L") +
      category_class("M") + category_class("Nd");
}

} // namespace

bool starts_with_word(std::string_view text) {
  static const auto word = Regex::native("[" + word_class() + "]");
  return word.matches_at_start(text);
}

bool ends_with_word(std::string_view text) {
  if (text.empty()) {
    return false;
  }
  auto last = text.size() - 1;
  while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) {
    --last;
  }
  return starts_with_word(text.substr(last));
}

Regex word_or_symbols() {
  return Regex::native(
      fmt::format("[{0}]+|[^{0}\\p{{WSpace}}]+", word_class()));
}

} // namespace tessera::text
