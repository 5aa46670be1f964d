#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tessera/tokenizer.h"
#include "text/json.h"

namespace tessera::text {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

template <typename Value>
using StringMap =
    std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

// Words that were encoded before; one a call, so that the model is immutable.
struct WordCache {
  StringMap<TokenIds> words;
};

// Byte-pair encoding (Sennrich, Haddow and Birch 2016, section 3.2): the
// `model` of tokenizer.json.
class Bpe {
 public:
  explicit Bpe(const JsonField& field);

  // Appends the ids of a word, well-formed and not empty. O(n log n).
  void encode(std::string_view word, WordCache& cache, TokenIds& out) const;

  std::optional<std::int32_t> id_of(std::string_view token) const;
  const std::string* token_of(std::int32_t id) const;
  std::size_t size() const;        // how many tokens
  std::int32_t largest_id() const; // -1 without tokens

 private:
  struct Merge {
    std::uint32_t rank;
    std::int32_t id;
  };
  class Word;

  void read_options(const JsonField& field);
  void read_vocab(const JsonField& field);
  void read_merges(const JsonField& field);
  void add_merge(
      const JsonField& field,
      const std::string& left,
      const std::string& right,
      std::uint32_t rank);
  const Merge* merge_of(std::int32_t left, std::int32_t right) const;
  bool is_cut(char32_t left, char32_t right) const;
  void encode_part(
      std::string_view part, WordCache& cache, TokenIds& out) const;
  TokenIds symbols(std::string_view part) const;
  bool append_bytes(std::string_view character, TokenIds& out) const;

  StringMap<std::int32_t> ids_;
  std::unordered_map<std::int32_t, std::string> tokens_;
  std::int32_t largest_id_ = -1;
  std::unordered_map<std::uint64_t, Merge> merges_;
  // Code point to the id of the token that it is alone; -1 for none.
  std::vector<std::int32_t> characters_;
  // The pairs of characters that some merge joins.
  std::unordered_set<std::uint64_t> seams_;
  // Of <0x00> ... <0xFF>; -1 for none. Empty without byte fallback.
  std::vector<std::int32_t> bytes_;
  std::optional<std::string> unknown_;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
};

} // namespace tessera::text
