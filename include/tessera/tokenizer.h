#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

using TokenIds = std::vector<std::int32_t>;

// Tokens [begin, end) of a row.
struct TokenSpan {
  std::int32_t begin = 0;
  std::int32_t end = 0;

  bool operator==(const TokenSpan&) const = default;
};

// The tokenizer of a Hugging Face `tokenizer.json`: byte-level BPE (Qwen2,
// Llama 3, GPT-2) and SentencePiece-style BPE with byte fallback (TinyLlama,
// Llama 2). A component that is not supported is refused by its name.
//
// Text is UTF-8. Ill-formed bytes count as U+FFFD, one for each maximal subpart
// (Unicode 15, section 3.9), as Python's errors="replace" decodes them.
//
// Immutable; one object serves any number of threads.
class Tokenizer {
 public:
  static Tokenizer load(const std::filesystem::path& file);

  // `add_special_tokens` applies the post-processor (Llama's <s> in front,
  // say). Added tokens that stand in the text are recognised either way.
  TokenIds encode(std::string_view text, bool add_special_tokens = true) const;

  // Always well-formed UTF-8.
  std::string decode(
      std::span<const std::int32_t> ids, bool skip_special_tokens = true) const;

  std::optional<std::int32_t> id_of(std::string_view token) const;

  // The largest id plus one.
  std::int32_t vocab_size() const;

  struct State;

 private:
  friend class StreamDecoder;
  explicit Tokenizer(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

// Decodes a stream of ids piece by piece. A piece is held back until its
// characters are whole, so that the pieces joined are what decode() gives for
// all ids at once. The work and the memory of a push do not grow with what came
// before (unless the decoder of tokenizer.json ends in a step that needs the
// whole text, which then comes with flush()).
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  std::string push(std::int32_t id);

  // What was held back. The next push begins a new text.
  std::string flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace tessera
