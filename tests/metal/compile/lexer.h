#pragma once

#include <cctype>
#include <string_view>

// The little of C++'s grammar that reading and rewriting a text takes.
namespace tessera::metal {

inline bool word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

inline bool space(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

inline std::size_t skip_word(std::string_view text, std::size_t at) {
  while (at < text.size() && word(text[at]))
    ++at;
  return at;
}

inline std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size() && space(text[at]))
    ++at;
  return at;
}

// The end of what stands before, without spaces.
inline std::size_t back_space(std::string_view text, std::size_t at) {
  while (at > 0 && space(text[at - 1]))
    --at;
  return at;
}

// The place behind the bracket that closes the one at `at`; the end where none
// does.
inline std::size_t skip_bracket(std::string_view text, std::size_t at) {
  const char open = text[at];
  const char close = open == '(' ? ')' : open == '[' ? ']' : '>';
  int depth = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == open)
      ++depth;
    else if (text[at] == close && --depth == 0)
      return at + 1;
  }
  return text.size();
}

// The next place of a whole word.
inline std::size_t find_word(
    std::string_view text, std::string_view name, std::size_t from) {
  for (std::size_t at = text.find(name, from); at != std::string_view::npos;
       at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || !word(text[at - 1])) &&
        (end == text.size() || !word(text[end])))
      return at;
  }
  return std::string_view::npos;
}

// Whether what stands before begins a statement.
inline bool begins_statement(std::string_view text, std::size_t at) {
  at = back_space(text, at);
  if (at == 0)
    return true;
  if (text[at - 1] == '{' || text[at - 1] == '}' || text[at - 1] == ';')
    return true;
  // A line marker of the preprocessor.
  const std::size_t line = text.rfind('\n', at - 1);
  return line != std::string_view::npos && text[line + 1] == '#';
}

} // namespace tessera::metal
