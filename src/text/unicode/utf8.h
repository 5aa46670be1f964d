#pragma once

#include <string>
#include <string_view>

namespace tessera::text {

// What stands at the front of a non-empty text: a character, or a maximal
// subpart of an ill-formed one (Unicode 15, section 3.9, table 3-7).
struct Utf8Unit {
  std::size_t length = 1; // bytes
  bool well_formed = true;
  bool truncated = false; // the text ends before the character does
};

Utf8Unit front_unit(std::string_view text);

bool is_well_formed(std::string_view text);

// Each maximal subpart that is ill-formed becomes U+FFFD, as Python's
// errors="replace" and Rust's from_utf8_lossy have it.
std::string replace_ill_formed(std::string_view text);

// Moves `text` past its first character. `text` is well-formed and not empty.
char32_t next_code_point(std::string_view& text);

void append_utf8(std::string& out, char32_t code_point);

// White_Space, the same since Unicode 6.3.
bool is_white_space(char32_t code_point);

} // namespace tessera::text
