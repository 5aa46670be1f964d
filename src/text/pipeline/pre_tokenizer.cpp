#include "text/pipeline/pre_tokenizer.h"

#include <algorithm>
#include <map>

#include "text/pipeline/byte_level.h"
#include "text/pipeline/normalizer.h"
#include "text/unicode/utf8.h"
#include "text/unicode/word_class.h"

namespace tessera::text {

namespace {

constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Whether a part joins the one before it.
bool joins(SplitBehavior behavior, bool previous_is_match, bool is_match) {
  switch (behavior) {
    case SplitBehavior::contiguous:
      return previous_is_match == is_match;
    case SplitBehavior::merged_with_previous:
      return is_match && !previous_is_match;
    case SplitBehavior::merged_with_next:
      return !is_match && previous_is_match;
    default:
      return false;
  }
}

// Turns the parts of a text, matches and what lies between, into pieces.
class Joiner {
 public:
  Joiner(SplitBehavior behavior, Piece piece, const PieceSink& sink)
      : behavior_(behavior), piece_(piece), sink_(sink) {}

  void add(Match part, bool is_match) {
    if (behavior_ == SplitBehavior::removed && is_match) {
      return;
    }
    if (held_ && joins(behavior_, held_is_match_, is_match)) {
      range_.stop = part.stop;
    } else {
      flush();
      range_ = part;
      held_ = true;
    }
    held_is_match_ = is_match;
  }

  void flush() {
    if (held_ && range_.start != range_.stop) {
      sink_(
          {piece_.text.substr(range_.start, range_.stop - range_.start),
           piece_.at_start && range_.start == 0});
    }
    held_ = false;
  }

 private:
  SplitBehavior behavior_;
  Piece piece_;
  const PieceSink& sink_;
  Match range_{0, 0};
  bool held_ = false;
  bool held_is_match_ = false;
};

void apply(const Split& step, Piece piece, const PieceSink& sink) {
  Joiner joiner(step.behavior, piece, sink);
  std::size_t done = 0;
  step.pattern.for_each_match(piece.text, [&](Match match) {
    if (match.start != done) {
      joiner.add({done, match.start}, step.invert);
    }
    joiner.add(match, !step.invert);
    done = match.stop;
  });
  if (done != piece.text.size()) {
    joiner.add({done, piece.text.size()}, step.invert);
  }
  joiner.flush();
}

void apply(const ByteLevel& step, Piece piece, const PieceSink& sink) {
  std::string prefixed;
  if (step.add_prefix_space && !piece.text.starts_with(' ')) {
    prefixed = " " + std::string(piece.text);
    piece.text = prefixed;
  }
  std::string letters;
  auto map = [&](Piece word) {
    letters.clear();
    for (char c : word.text) {
      letters += byte_letters()[static_cast<unsigned char>(c)];
    }
    sink({letters, word.at_start});
  };
  if (step.split) {
    apply(*step.split, piece, map);
  } else {
    map(piece);
  }
}

void apply(const Metaspace& step, Piece piece, const PieceSink& sink) {
  std::string text;
  for (char c : piece.text) {
    c == ' ' ? text += step.replacement : text += c;
  }
  bool wanted = step.prepend == Metaspace::Prepend::always ||
      (step.prepend == Metaspace::Prepend::first && piece.at_start);
  if (wanted && !text.starts_with(step.replacement)) {
    text.insert(0, step.replacement);
  }
  std::string_view rest = text;
  while (!rest.empty()) {
    auto next = step.split ? rest.find(step.replacement, 1) : rest.npos;
    auto word = rest.substr(0, next);
    sink({word, piece.at_start && word.data() == text.data()});
    rest.remove_prefix(word.size());
  }
}

Split read_split(const JsonField& field) {
  static const std::map<std::string, SplitBehavior> behaviors = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  auto behavior = behaviors.find(field["behavior"].text());
  if (behavior == behaviors.end()) {
    field["behavior"].refuse(
        "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
  }
  return {
      read_pattern(field["pattern"]), behavior->second, field["invert"].flag()};
}

Split read_digits(const JsonField& field) {
  return {
      Regex::compile("\\p{N}"),
      field["individual_digits"].flag_or(false) ? SplitBehavior::isolated
                                                : SplitBehavior::contiguous,
      false};
}

ByteLevel read_byte_level(const JsonField& field) {
  field["trim_offsets"].flag(); // of offsets, which we do not give
  ByteLevel step{field["add_prefix_space"].flag(), std::nullopt};
  if (field["use_regex"].flag_or(true)) {
    step.split =
        Split{Regex::compile(gpt2_pattern), SplitBehavior::isolated, false};
  }
  return step;
}

} // namespace

Metaspace read_metaspace(const JsonField& field) {
  static const std::map<std::string, Metaspace::Prepend> schemes = {
      {"always", Metaspace::Prepend::always},
      {"first", Metaspace::Prepend::first},
      {"never", Metaspace::Prepend::never}};
  const auto& replacement = field["replacement"].text();
  if (replacement.empty() ||
      front_unit(replacement).length != replacement.size()) {
    field["replacement"].refuse("one character");
  }
  auto declared = field["prepend_scheme"];
  auto scheme = schemes.find(declared.is_null() ? "always" : declared.text());
  if (scheme == schemes.end()) {
    declared.refuse("always, first or never");
  }
  bool prefix = field["add_prefix_space"].flag_or(true);
  if (!prefix && scheme->second != Metaspace::Prepend::never) {
    declared.refuse("never, as add_prefix_space is false");
  }
  return {replacement, scheme->second, field["split"].flag_or(true)};
}

PreTokenizer::PreTokenizer(const JsonField& field) {
  if (!field.is_null()) {
    read(field, 0);
  }
}

void PreTokenizer::read(const JsonField& field, int depth) {
  const auto& type = field["type"].text();
  if (depth > max_nesting) {
    field.refuse("fewer nested sequences");
  }
  if (steps_.size() >= max_steps) {
    field.refuse("fewer steps");
  }
  if (type == "Sequence") {
    for (const auto& step : field["pretokenizers"].elements()) {
      read(step, depth + 1);
    }
  } else if (type == "ByteLevel") {
    const bool second =
        std::any_of(steps_.begin(), steps_.end(), [](const auto& step) {
          return std::holds_alternative<ByteLevel>(step);
        });
    if (second) { // would write each letter as letters again, and so on
      field.refuse("one ByteLevel");
    }
    steps_.emplace_back(read_byte_level(field));
  } else if (type == "Metaspace") {
    auto step = read_metaspace(field);
    // Which pieces stand at the start is known only before a step that may
    // put text in front.
    if (step.prepend == Metaspace::Prepend::first && !steps_.empty()) {
      field["prepend_scheme"].refuse("always or never after another step");
    }
    steps_.emplace_back(std::move(step));
  } else {
    read_splitter(field, type);
  }
}

void PreTokenizer::read_splitter(
    const JsonField& field, const std::string& type) {
  if (type == "Split") {
    steps_.emplace_back(read_split(field));
  } else if (type == "Digits") {
    steps_.emplace_back(read_digits(field));
  } else if (type == "Whitespace") {
    steps_.emplace_back(Split{word_or_symbols(), SplitBehavior::removed, true});
  } else if (type == "WhitespaceSplit") {
    steps_.emplace_back(
        Split{Regex::compile("\\s"), SplitBehavior::removed, false});
  } else {
    field["type"].refuse(
        "a supported pre-tokenizer (Sequence, ByteLevel, Split, Metaspace, "
        "Digits, Whitespace, WhitespaceSplit)");
  }
}

void PreTokenizer::operator()(Piece piece, const PieceSink& sink) const {
  run(0, piece, sink);
}

void PreTokenizer::run(
    std::size_t step, Piece piece, const PieceSink& sink) const {
  if (piece.text.empty()) {
    return;
  }
  if (step == steps_.size()) {
    sink(piece);
    return;
  }
  std::visit(
      [&](const auto& s) {
        apply(s, piece, [&](Piece word) { run(step + 1, word, sink); });
      },
      steps_[step]);
}

} // namespace tessera::text
