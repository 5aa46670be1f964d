#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "tessera/error.h"
#include "text/unicode/regex.h"
#include "text/unicode/tables.h"

namespace tessera::text {

namespace {

// PCRE2's own \s holds U+180E as well.
constexpr std::string_view white_space =
    "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}"
    "\\x{2029}\\x{202F}\\x{205F}\\x{3000}";

// Those in which both libraries agree once widened (tests/text: every code
// point). Mn and Mc do not: U+1171E has changed from one to the other.
constexpr std::array<std::string_view, 14> categories = {
    "L",
    "Lu",
    "Ll",
    "Lt",
    "Lm",
    "Lo",
    "M",
    "N",
    "Nd",
    "Nl",
    "No",
    "P",
    "S",
    "Z"};

class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  std::string run() {
    while (!rest_.empty()) {
      char c = rest_.front();
      if (c == '\\') {
        out_ += escape(false);
      } else if (c == '[') {
        bracket();
      } else if (c == '(') {
        group();
      } else if (c == '{') {
        interval();
      } else {
        take(1);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] static void refuse(std::string_view construct) {
    reject(
        "regex",
        "expected a construct that PCRE2 shares with Oniguruma; got {}",
        construct);
  }

  void take(std::size_t count) {
    out_ += rest_.substr(0, count);
    rest_.remove_prefix(std::min(count, rest_.size()));
  }

  bool skip(std::string_view text) {
    if (!rest_.starts_with(text)) {
      return false;
    }
    rest_.remove_prefix(text.size());
    return true;
  }

  // \p{..} or \s and the like, as a class item or a whole class.
  static std::string item(
      const std::string& content, bool negated, bool in_class) {
    if (!in_class) {
      return fmt::format("[{}{}]", negated ? "^" : "", content);
    }
    if (negated) {
      refuse("a negated class within a class");
    }
    return content;
  }

  std::string property(bool negated, bool in_class) {
    auto close = rest_.find('}');
    if (rest_.size() < 2 || rest_.front() != '{' ||
        close == std::string_view::npos) {
      refuse("\\p without {name}");
    }
    auto name = rest_.substr(1, close - 1);
    if (std::find(categories.begin(), categories.end(), name) ==
        categories.end()) {
      refuse(fmt::format("\\p{{{}}}", name));
    }
    rest_.remove_prefix(close + 1);
    return item(category_class(name), negated, in_class);
  }

  std::string code_point(char kind) {
    bool braced = kind == 'x' && skip("{");
    std::size_t most = braced ? 8 : kind == 'x' ? 2 : 4;
    std::size_t count = 0;
    while (count < std::min(most, rest_.size()) &&
           std::isxdigit(static_cast<unsigned char>(rest_[count]))) {
      ++count;
    }
    auto digits = std::string(rest_.substr(0, count));
    rest_.remove_prefix(count);
    bool whole = braced ? count > 0 && skip("}") : count == most;
    // A bare \xHH beyond ASCII is a byte to Oniguruma, not a character.
    if (!whole || (kind == 'x' && !braced && digits[0] >= '8')) {
      refuse("a malformed code point");
    }
    return fmt::format("\\x{{{}}}", digits);
  }

  std::string escape(bool in_class) {
    if (rest_.size() < 2) {
      refuse("a backslash at the end");
    }
    char c = rest_[1];
    rest_.remove_prefix(2);
    if (c == 'p' || c == 'P') {
      return property(c == 'P', in_class);
    }
    if (c == 's' || c == 'S') {
      return item(std::string(white_space), c == 'S', in_class);
    }
    if (c == 'd' || c == 'D') {
      return item(category_class("Nd"), c == 'D', in_class);
    }
    if (c == 'x' || c == 'u') {
      return code_point(c);
    }
    bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0;
    bool same = c == 'n' || c == 'r' || c == 't' || c == 'f' || c == 'a' ||
        c == 'e' || (!in_class && (c == 'A' || c == 'z'));
    if ((letter && !same) || static_cast<unsigned char>(c) >= 0x80) {
      refuse(fmt::format("an escape \\ before byte 0x{:02X}", c));
    }
    return {'\\', c};
  }

  void bracket() {
    take(1);
    if (rest_.starts_with('^')) {
      take(1);
    }
    if (rest_.starts_with(']')) {
      refuse("] at the beginning of a class");
    }
    while (!rest_.empty() && rest_.front() != ']') {
      if (rest_.front() == '\\') {
        out_ += escape(true);
      } else if (rest_.front() == '[' || rest_.starts_with("&&")) {
        refuse("a class within a class");
      } else {
        take(1);
      }
    }
    if (rest_.empty()) {
      refuse("a class without ]");
    }
    take(1);
  }

  void group() {
    for (std::string_view open : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (rest_.starts_with(open)) {
        take(open.size());
        return;
      }
    }
    if (rest_.starts_with("(?i:")) {
      caseless();
    } else if (rest_.starts_with("(?") || rest_.starts_with("(*")) {
      refuse(fmt::format("the group {}", rest_.substr(0, 3)));
    } else {
      take(1);
    }
  }

  // Alternatives of ASCII text only. Oniguruma also folds characters to
  // several (the sharp s equals "ss"); a pair that such a fold can end in is
  // refused.
  void caseless() {
    auto close = rest_.find(')');
    auto body = rest_.substr(4, std::min(close, rest_.size()) - 4);
    std::string lower;
    for (char c : body) {
      auto u = static_cast<unsigned char>(c);
      if (u >= 0x80 || (!std::isalnum(u) && c != '|' && c != '\'')) {
        refuse("more than ASCII alternatives in (?i:");
      }
      lower += static_cast<char>(std::tolower(u));
    }
    for (std::string_view pair : {"ss", "st", "ff", "fi", "fl"}) {
      if (lower.find(pair) != std::string::npos) {
        refuse(fmt::format("\"{}\" in (?i:", pair));
      }
    }
    if (close == std::string_view::npos) {
      refuse("a group without )");
    }
    take(close + 1);
  }

  // {n}, {n,} or {n,m}. What follows it may mean another thing: a possessive
  // quantifier to PCRE2 is a quantifier of a quantifier to Oniguruma.
  void interval() {
    std::size_t i = 1;
    auto digits = [&] {
      auto from = i;
      while (i < rest_.size() &&
             std::isdigit(static_cast<unsigned char>(rest_[i]))) {
        ++i;
      }
      return i > from;
    };
    bool whole = digits();
    if (whole && i < rest_.size() && rest_[i] == ',') {
      ++i;
      digits();
    }
    whole = whole && i < rest_.size() && rest_[i] == '}';
    bool followed = whole && i + 1 < rest_.size() &&
        std::string_view("+?*{").find(rest_[i + 1]) != std::string_view::npos;
    if (!whole || followed) {
      refuse(
          followed ? "a quantifier after {}" : "a { that begins no quantifier");
    }
    take(i + 1);
  }

  std::string_view rest_;
  std::string out_;
};

} // namespace

std::string category_class(std::string_view category) {
  auto out = fmt::format("\\p{{{}}}", category);
  for (const auto& range : assigned_since_unicode_14) {
    if (range.category.starts_with(category)) {
      out += fmt::format(
          "\\x{{{:X}}}-\\x{{{:X}}}",
          static_cast<std::uint32_t>(range.first),
          static_cast<std::uint32_t>(range.last));
    }
  }
  return out;
}

std::string translate_pattern(std::string_view pattern) {
  return Translator(pattern).run();
}

} // namespace tessera::text
