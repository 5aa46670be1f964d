#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/json.h"
#include "text/unicode/regex.h"

namespace tessera::text {

struct CanonicalForm {
  bool compose; // NFC, else NFD (Unicode Standard Annex 15)
};

// Puts a text in front of one that is not empty.
struct Prepend {
  std::string prefix;
};

struct Replace {
  Regex pattern;
  std::string content;

  // InputError where more than `most` bytes come of it.
  std::string operator()(std::string_view text, std::size_t most) const;
};

// Bytes that steps of replacement may make of `bytes`: steps that each make
// more would fill any memory.
constexpr std::size_t most_growth(std::size_t bytes) {
  return (std::size_t{1} << 20) + 64 * bytes;
}

// {"Regex": ...} or {"String": ...}.
Regex read_pattern(const JsonField& field);

Replace read_replace(const JsonField& field);

// The `normalizer` of tokenizer.json.
class Normalizer {
 public:
  explicit Normalizer(const JsonField& field);
  // `text` is well-formed.
  std::string operator()(std::string_view text) const;

 private:
  void read(const JsonField& field, int depth);

  std::vector<std::variant<CanonicalForm, Prepend, Replace>> steps_;
};

// NFC or NFD by the tables of the tokenizers package (Unicode 9); linear in the
// length but for the sorting of each run of combining marks.
std::string canonical_form(std::string_view text, bool compose);

// Components of tokenizer.json may nest, this deep at most; and a component has
// this many steps at most, one of which may call the next.
constexpr int max_nesting = 32;
constexpr std::size_t max_steps = 64;

} // namespace tessera::text
