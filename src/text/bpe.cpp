#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

#include "tessera/error.h"
#include "text/unicode/utf8.h"

namespace tessera::text {

namespace {

constexpr std::int32_t none = -1;

// Longer parts are looked up rarely and cost much to keep.
constexpr std::size_t longest_cached = 64; // bytes
constexpr std::size_t most_cached = 1 << 18;

std::uint64_t pair_key(std::uint32_t left, std::uint32_t right) {
  return std::uint64_t{left} << 32 | right;
}

std::uint64_t id_key(std::int32_t left, std::int32_t right) {
  return pair_key(
      static_cast<std::uint32_t>(left), static_cast<std::uint32_t>(right));
}

char32_t first_character(std::string_view text) {
  return next_code_point(text);
}

char32_t last_character(std::string_view text) {
  auto start = text.size() - 1;
  while ((static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) {
    --start;
  }
  return first_character(text.substr(start));
}

} // namespace

// Symbols as a linked list; the merge of least rank, then leftmost, goes first.
class Bpe::Word {
 public:
  Word(const Bpe& model, const TokenIds& ids) : model_(model) {
    symbols_.reserve(ids.size());
    for (auto id : ids) {
      auto i = static_cast<std::int64_t>(symbols_.size());
      symbols_.push_back({id, i - 1, i + 1});
    }
    std::vector<Candidate> candidates;
    for (std::size_t i = 0; i + 1 < symbols_.size(); ++i) {
      if (auto* merge = model_.merge_of(ids[i], ids[i + 1])) {
        candidates.push_back(
            {merge->rank, static_cast<std::int64_t>(i), merge->id});
      }
    }
    queue_ = Queue({}, std::move(candidates));
  }

  void merge_all() {
    while (!queue_.empty()) {
      auto top = queue_.top();
      queue_.pop();
      if (is_current(top)) {
        apply(top);
      }
    }
  }

  void append_to(TokenIds& out) const {
    for (const auto& symbol : symbols_) {
      if (symbol.id != none) {
        out.push_back(symbol.id);
      }
    }
  }

 private:
  struct Symbol {
    std::int32_t id;       // none: merged into one before
    std::int64_t previous; // -1 at the front
    std::int64_t next;     // the count at the back
  };

  struct Candidate {
    std::uint32_t rank;
    std::int64_t left;
    std::int32_t id;

    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  using Queue =
      std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>>;

  Symbol& at(std::int64_t i) {
    return symbols_[static_cast<std::size_t>(i)];
  }

  bool exists(std::int64_t i) const {
    return i >= 0 && i < static_cast<std::int64_t>(symbols_.size());
  }

  bool is_current(const Candidate& candidate) {
    const auto& left = at(candidate.left);
    if (left.id == none || !exists(left.next)) {
      return false;
    }
    auto* merge = model_.merge_of(left.id, at(left.next).id);
    return merge != nullptr && merge->id == candidate.id;
  }

  void apply(const Candidate& candidate) {
    auto& left = at(candidate.left);
    auto& right = at(left.next);
    left.id = candidate.id;
    left.next = right.next;
    right.id = none;
    if (exists(left.next)) {
      at(left.next).previous = candidate.left;
    }
    propose(left.previous);
    propose(candidate.left);
  }

  void propose(std::int64_t i) {
    if (!exists(i) || !exists(at(i).next)) {
      return;
    }
    if (auto* merge = model_.merge_of(at(i).id, at(at(i).next).id)) {
      queue_.push({merge->rank, i, merge->id});
    }
  }

  const Bpe& model_;
  std::vector<Symbol> symbols_;
  Queue queue_;
};

Bpe::Bpe(const JsonField& field) {
  auto type = field["type"];
  if (!type.is_null() && type.text() != "BPE") {
    type.refuse("the model type BPE");
  }
  read_vocab(field["vocab"]);
  read_options(field);
  read_merges(field["merges"]);
}

void Bpe::read_options(const JsonField& field) {
  auto dropout = field["dropout"];
  if (!dropout.is_null() && dropout.value() != 0.0) {
    dropout.refuse("no dropout of merges");
  }
  for (auto name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (auto affix = field[name]; !affix.is_null() && !affix.text().empty()) {
      affix.refuse("no affix of subwords");
    }
  }
  if (auto unknown = field["unk_token"]; !unknown.is_null()) {
    unknown_ = unknown.text();
  }
  fuse_unknown_ = field["fuse_unk"].flag_or(false);
  ignore_merges_ = field["ignore_merges"].flag_or(false);
  if (field["byte_fallback"].flag_or(false)) {
    for (int byte = 0; byte < 256; ++byte) {
      bytes_.push_back(id_of(fmt::format("<0x{:02X}>", byte)).value_or(none));
    }
  }
}

void Bpe::read_vocab(const JsonField& field) {
  characters_.assign(0x110000, none);
  field.for_each_member([&](const std::string& token, const JsonField& value) {
    auto id = value.natural();
    if (!tokens_.emplace(id, token).second) {
      value.refuse("one token an id", fmt::format("two tokens with id {}", id));
    }
    ids_.emplace(token, id);
    largest_id_ = std::max(largest_id_, id);
    if (!token.empty() && front_unit(token).length == token.size()) {
      characters_[first_character(token)] = id;
    }
  });
}

void Bpe::read_merges(const JsonField& field) {
  std::uint32_t rank = 0;
  for (const auto& merge : field.elements()) {
    if (!merge.is_string()) {
      auto pair = merge.elements();
      if (pair.size() != 2) {
        merge.refuse("a pair of tokens");
      }
      add_merge(merge, pair[0].text(), pair[1].text(), rank++);
      continue;
    }
    const auto& line = merge.text();
    if (line.starts_with("#version")) {
      continue;
    }
    auto space = line.find(' ');
    if (space == line.npos || line.find(' ', space + 1) != line.npos) {
      merge.refuse("two tokens with one space between");
    }
    add_merge(merge, line.substr(0, space), line.substr(space + 1), rank++);
  }
}

void Bpe::add_merge(
    const JsonField& field,
    const std::string& left,
    const std::string& right,
    std::uint32_t rank) {
  auto require = [&](const std::string& token) {
    auto id = id_of(token);
    if (!id) {
      field.refuse("tokens of the vocabulary");
    }
    return *id;
  };
  auto left_id = require(left);
  auto right_id = require(right);
  merges_.insert_or_assign(
      id_key(left_id, right_id), Merge{rank, require(left + right)});
  if (!left.empty() && !right.empty()) {
    seams_.insert(pair_key(last_character(left), first_character(right)));
  }
}

const Bpe::Merge* Bpe::merge_of(std::int32_t left, std::int32_t right) const {
  auto found = merges_.find(id_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// Symbols that meet between two characters which no merge joins stay apart, so
// that a text may be cut there: SentencePiece's whole texts fall into words.
// A character outside the vocabulary is another symbol and does not count.
bool Bpe::is_cut(char32_t left, char32_t right) const {
  return characters_[left] != none && characters_[right] != none &&
      !seams_.contains(pair_key(left, right));
}

void Bpe::encode(std::string_view word, WordCache& cache, TokenIds& out) const {
  if (ignore_merges_) {
    if (auto id = id_of(word)) {
      out.push_back(*id);
      return;
    }
  }
  if (word.size() <= longest_cached) {
    encode_part(word, cache, out);
    return;
  }
  auto rest = word;
  auto part = word.data();
  auto left = next_code_point(rest);
  while (!rest.empty()) {
    auto seam = rest.data();
    auto right = next_code_point(rest);
    if (is_cut(left, right)) {
      encode_part({part, static_cast<std::size_t>(seam - part)}, cache, out);
      part = seam;
    }
    left = right;
  }
  encode_part({part, static_cast<std::size_t>(rest.data() - part)}, cache, out);
}

void Bpe::encode_part(
    std::string_view part, WordCache& cache, TokenIds& out) const {
  bool cached = part.size() <= longest_cached;
  if (cached) {
    if (auto found = cache.words.find(part); found != cache.words.end()) {
      out.insert(out.end(), found->second.begin(), found->second.end());
      return;
    }
  }
  Word word(*this, symbols(part));
  word.merge_all();
  auto before = static_cast<std::ptrdiff_t>(out.size());
  word.append_to(out);
  if (cached && cache.words.size() < most_cached) {
    cache.words.emplace(part, TokenIds(out.begin() + before, out.end()));
  }
}

// The id of each character; bytes or the unknown token for those outside the
// vocabulary. An unknown token waits for the next known character, and bytes do
// not end the wait: so it is in the package.
TokenIds Bpe::symbols(std::string_view part) const {
  TokenIds out;
  std::int32_t waiting = none;
  auto flush = [&] {
    if (waiting != none) {
      out.push_back(waiting);
    }
    waiting = none;
  };
  while (!part.empty()) {
    auto rest = part;
    auto id = characters_[next_code_point(rest)];
    auto character = part.substr(0, part.size() - rest.size());
    part = rest;
    if (id != none) {
      flush();
      out.push_back(id);
    } else if (!append_bytes(character, out) && unknown_) {
      if (!fuse_unknown_) {
        flush();
      }
      auto unknown = id_of(*unknown_);
      if (!unknown) {
        reject(
            "tokenizer",
            "expected model.unk_token in the vocabulary; got \"{}\"",
            one_line(*unknown_));
      }
      waiting = *unknown;
    }
  }
  flush();
  return out;
}

bool Bpe::append_bytes(std::string_view character, TokenIds& out) const {
  auto id_of_byte = [&](char c) {
    return bytes_[static_cast<unsigned char>(c)];
  };
  if (bytes_.empty() ||
      std::any_of(character.begin(), character.end(), [&](char c) {
        return id_of_byte(c) == none;
      })) {
    return false;
  }
  std::transform(
      character.begin(), character.end(), std::back_inserter(out), id_of_byte);
  return true;
}

std::optional<std::int32_t> Bpe::id_of(std::string_view token) const {
  auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Bpe::token_of(std::int32_t id) const {
  auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second;
}

std::size_t Bpe::size() const {
  return ids_.size();
}

std::int32_t Bpe::largest_id() const {
  return largest_id_;
}

} // namespace tessera::text
