#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/json.h"
#include "text/unicode/regex.h"

namespace tessera::text {

// What becomes of the matches of a splitting pattern.
enum class SplitBehavior {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous,
};

struct Split {
  Regex pattern;
  SplitBehavior behavior;
  bool invert; // what lies between the matches counts as the match
};

// Writes each byte as a printable character (GPT-2), after splitting by
// GPT-2's own pattern where there is one.
struct ByteLevel {
  bool add_prefix_space;
  std::optional<Split> split;
};

// SentencePiece's way: spaces become a visible character, words begin with it.
struct Metaspace {
  enum class Prepend { always, first, never };
  std::string replacement; // one character
  Prepend prepend;
  bool split;
};

Metaspace read_metaspace(const JsonField& field);

struct Piece {
  std::string_view text;
  bool at_start; // of the whole input
};

using PieceSink = std::function<void(Piece)>;

// The `pre_tokenizer` of tokenizer.json.
class PreTokenizer {
 public:
  explicit PreTokenizer(const JsonField& field);

  // Cuts a piece into words, none of them empty, from left to right. A word is
  // valid during the call only.
  void operator()(Piece piece, const PieceSink& sink) const;

 private:
  using Step = std::variant<Split, ByteLevel, Metaspace>;

  void read(const JsonField& field, int depth);
  void read_splitter(const JsonField& field, const std::string& type);
  void run(std::size_t step, Piece piece, const PieceSink& sink) const;

  std::vector<Step> steps_;
};

} // namespace tessera::text
