#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace tessera::text {

struct Match {
  std::size_t start;
  std::size_t stop;
};

// A regular expression in the dialect that tokenizer.json is written in
// (Oniguruma's Ruby syntax), on PCRE2. A construct whose meaning differs
// between the two and is not translated is refused, so that what compiles
// matches alike. Immutable; serves any number of threads.
class Regex {
 public:
  // InputError that names what is not supported or malformed.
  static Regex compile(std::string_view pattern);
  static Regex literal(std::string_view text);
  // A pattern in PCRE2's own dialect, of ours.
  static Regex native(const std::string& pattern);

  // Visits the matches from left to right, as Oniguruma's own search loop
  // does: they do not overlap, and an empty match does not follow another match
  // immediately. `text` is well-formed UTF-8. Needs no stack that grows with
  // the text. InputError where a match takes more tries than a sensible pattern
  // needs.
  void for_each_match(
      std::string_view text, const std::function<void(Match)>& visit) const;

  bool matches_at_start(std::string_view text) const;

 private:
  struct Program;
  explicit Regex(std::shared_ptr<const Program> program);
  std::shared_ptr<const Program> program_;
};

// Oniguruma's (Ruby syntax, UTF-8) to PCRE2's; see Regex.
std::string translate_pattern(std::string_view pattern);

// The text of a class, without brackets: \p{category} with what Unicode has
// assigned since PCRE2's tables.
std::string category_class(std::string_view category);

} // namespace tessera::text
