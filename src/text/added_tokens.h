#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/bpe.h"
#include "text/json.h"
#include "text/pipeline/normalizer.h"

namespace tessera::text {

// Finds the leftmost of a set of texts and, among those, the longest.
class Matcher {
 public:
  // Of two equal texts the first one counts.
  void add(std::string_view text, std::int32_t id);

  struct Found {
    std::size_t start;
    std::size_t stop;
    std::int32_t id;
  };
  std::optional<Found> find(std::string_view text, std::size_t from) const;

 private:
  std::optional<Found> longest_at(
      std::string_view text, std::size_t from) const;

  // A trie: node and byte to node, node to id. The root is 0.
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
  std::unordered_map<std::uint32_t, std::int32_t> ids_;
  bool starts_[256] = {};
};

// A part of a text: an added token, or what lies between.
struct Segment {
  std::size_t start;
  std::size_t stop;
  std::optional<std::int32_t> id;
};

// The `added_tokens` of tokenizer.json.
class AddedTokens {
 public:
  AddedTokens(
      const JsonField& field, const Normalizer& normalizer, const Bpe& model);

  using Visit = std::function<void(const Segment&)>;

  // Tokens that are looked for before normalisation, and after it. Parts that
  // are empty are left out.
  void split_raw(std::string_view text, const Visit& visit) const;
  void split_normalized(std::string_view text, const Visit& visit) const;

  std::optional<std::int32_t> id_of(const std::string& token) const;
  const std::string* token_of(std::int32_t id) const;
  bool is_special(const std::string& token) const;
  std::int32_t largest_id() const; // -1 without tokens

 private:
  struct Token {
    std::string content;
    bool single_word;
    bool lstrip;
    bool rstrip;
    bool normalized;
    bool special;

    bool operator==(const Token&) const = default;
  };

  static Token read(const JsonField& field);
  void add(const Token& token, const Bpe& model);
  void split(
      const Matcher& matcher, std::string_view text, const Visit& visit) const;

  std::unordered_map<std::string, std::int32_t> ids_;
  std::unordered_map<std::int32_t, Token> tokens_;
  std::unordered_set<std::string> special_;
  std::int32_t largest_id_ = -1;
  Matcher raw_;
  Matcher normalized_;
};

} // namespace tessera::text
