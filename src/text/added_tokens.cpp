#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode/utf8.h"
#include "text/unicode/word_class.h"

namespace tessera::text {

namespace {

std::uint64_t edge(std::uint32_t node, char byte) {
  return std::uint64_t{node} << 8 | static_cast<unsigned char>(byte);
}

// How many bytes of white space `text` begins with.
std::size_t leading_space(std::string_view text) {
  auto rest = text;
  while (!rest.empty()) {
    auto next = rest;
    if (!is_white_space(next_code_point(next))) {
      break;
    }
    rest = next;
  }
  return text.size() - rest.size();
}

// Where the white space at the end of `text` begins.
std::size_t trailing_space(std::string_view text) {
  auto stop = text.size();
  while (stop > 0) {
    auto start = stop - 1;
    while ((static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) {
      --start;
    }
    auto last = text.substr(start);
    if (!is_white_space(next_code_point(last))) {
      break;
    }
    stop = start;
  }
  return stop;
}

} // namespace

void Matcher::add(std::string_view text, std::int32_t id) {
  starts_[static_cast<unsigned char>(text.front())] = true;
  std::uint32_t node = 0;
  for (char byte : text) {
    auto fresh = static_cast<std::uint32_t>(edges_.size() + 1);
    node = edges_.try_emplace(edge(node, byte), fresh).first->second;
  }
  ids_.try_emplace(node, id);
}

std::optional<Matcher::Found> Matcher::longest_at(
    std::string_view text, std::size_t from) const {
  std::optional<Found> best;
  std::uint32_t node = 0;
  for (auto i = from; i < text.size(); ++i) {
    auto next = edges_.find(edge(node, text[i]));
    if (next == edges_.end()) {
      break;
    }
    node = next->second;
    if (auto id = ids_.find(node); id != ids_.end()) {
      best = Found{from, i + 1, id->second};
    }
  }
  return best;
}

std::optional<Matcher::Found> Matcher::find(
    std::string_view text, std::size_t from) const {
  for (; from < text.size(); ++from) {
    if (starts_[static_cast<unsigned char>(text[from])]) {
      if (auto found = longest_at(text, from)) {
        return found;
      }
    }
  }
  return std::nullopt;
}

AddedTokens::Token AddedTokens::read(const JsonField& field) {
  field["id"].natural();
  return {
      field["content"].text(),
      field["single_word"].flag(),
      field["lstrip"].flag(),
      field["rstrip"].flag(),
      field["normalized"].flag(),
      field["special"].flag()};
}

// The package gives ids by content, and the `id` of the file only documents
// them: the model's own, else the next one that is free.
void AddedTokens::add(const Token& token, const Bpe& model) {
  auto known = id_of(token.content);
  if (!known) {
    known = model.id_of(token.content);
  }
  auto size = static_cast<std::int32_t>(model.size());
  auto id = known.value_or(largest_id_ >= size ? largest_id_ + 1 : size);
  ids_[token.content] = id;
  tokens_[id] = token;
  largest_id_ = std::max(largest_id_, id);
}

AddedTokens::AddedTokens(
    const JsonField& field, const Normalizer& normalizer, const Bpe& model) {
  // Special tokens come first where two texts are equal.
  std::vector<Token> special;
  std::vector<Token> plain;
  auto fields = field.is_null() ? std::vector<JsonField>{} : field.elements();
  for (const auto& element : fields) {
    auto token = read(element);
    if (token.special && !token.content.empty() &&
        special_.insert(token.content).second) {
      special.push_back(token);
    }
  }
  for (const auto& element : fields) {
    auto token = read(element);
    auto known = id_of(token.content);
    if (token.content.empty() || (known && tokens_.at(*known) == token)) {
      continue;
    }
    add(token, model);
    if (!is_special(token.content)) {
      plain.push_back(token);
    }
  }
  special.insert(special.end(), plain.begin(), plain.end());
  for (const auto& token : special) {
    auto text = token.normalized ? normalizer(token.content) : token.content;
    if (text.empty()) {
      field.refuse(
          "added tokens that the normalizer leaves some text of",
          token.content);
    }
    (token.normalized ? normalized_ : raw_).add(text, ids_.at(token.content));
  }
}

void AddedTokens::split(
    const Matcher& matcher, std::string_view text, const Visit& visit) const {
  std::size_t done = 0;
  std::size_t from = 0;
  std::size_t space_end = 0; // of the run that was stripped last
  auto emit = [&](Segment segment) {
    if (segment.start < segment.stop) {
      visit(segment);
    }
  };
  while (auto found = matcher.find(text, from)) {
    auto [start, stop, id] = *found;
    from = stop;
    const auto& token = tokens_.at(id);
    if (token.single_word &&
        (ends_with_word(text.substr(0, start)) ||
         starts_with_word(text.substr(stop)))) {
      continue;
    }
    if (token.lstrip) {
      start = start > done
          ? done + trailing_space(text.substr(done, start - done))
          : done;
    }
    if (token.rstrip) {
      space_end = std::max(
          space_end,
          stop < space_end ? stop : stop + leading_space(text.substr(stop)));
      stop = space_end;
    }
    emit({done, start, std::nullopt});
    emit({start, stop, id});
    done = stop;
  }
  emit({done, text.size(), std::nullopt});
}

void AddedTokens::split_raw(std::string_view text, const Visit& visit) const {
  split(raw_, text, visit);
}

void AddedTokens::split_normalized(
    std::string_view text, const Visit& visit) const {
  split(normalized_, text, visit);
}

std::optional<std::int32_t> AddedTokens::id_of(const std::string& token) const {
  auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* AddedTokens::token_of(std::int32_t id) const {
  auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second.content;
}

bool AddedTokens::is_special(const std::string& token) const {
  return special_.contains(token);
}

std::int32_t AddedTokens::largest_id() const {
  return largest_id_;
}

} // namespace tessera::text
