#pragma once

#include <string_view>

#include "text/unicode/regex.h"

namespace tessera::text {

// Words as the crate `regex` has them (Unicode Technical Standard 18, annex C):
// alphabetic, marks, decimal digits, connecting punctuation, joiners.
bool starts_with_word(std::string_view text);
bool ends_with_word(std::string_view text);

// A word, or a run of what is neither word nor white space.
Regex word_or_symbols();

} // namespace tessera::text
