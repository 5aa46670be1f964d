#include "tessera/tokenizer.h"

#include <algorithm>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/json.h"
#include "text/pipeline/decoder.h"
#include "text/pipeline/normalizer.h"
#include "text/pipeline/post_processor.h"
#include "text/pipeline/pre_tokenizer.h"
#include "text/unicode/utf8.h"

namespace tessera {

using namespace text;

struct Tokenizer::State {
  Bpe model;
  Normalizer normalizer;
  AddedTokens added;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;

  explicit State(const JsonField& field)
      : model(field["model"]),
        normalizer(field["normalizer"]),
        added(field["added_tokens"], normalizer, model),
        pre_tokenizer(field["pre_tokenizer"]),
        post_processor(field["post_processor"]),
        decoder(field["decoder"]) {}

  // Null for what a decoder leaves out.
  const std::string* printed(std::int32_t id, bool skip_special) const {
    auto* token = added.token_of(id);
    if (token == nullptr) {
      token = model.token_of(id);
    }
    bool skipped = token != nullptr && skip_special && added.is_special(*token);
    return skipped ? nullptr : token;
  }
};

Tokenizer::Tokenizer(std::shared_ptr<const State> state)
    : state_(std::move(state)) {}

Tokenizer Tokenizer::load(const std::filesystem::path& file) {
  auto name = file.string();
  auto document = parse_json("tokenizer", read_file("tokenizer", file), name);
  JsonField field(document, name);
  if (auto version = field["version"];
      !version.is_null() && version.text() != "1.0") {
    version.refuse("1.0");
  }
  for (auto* unsupported : {"truncation", "padding"}) {
    if (auto found = field[unsupported]; !found.is_null()) {
      found.refuse("null");
    }
  }
  return Tokenizer(std::make_shared<const State>(field));
}

TokenIds Tokenizer::encode(
    std::string_view text, bool add_special_tokens) const {
  const auto& state = *state_;
  std::string repaired;
  if (!is_well_formed(text)) {
    repaired = replace_ill_formed(text);
    text = repaired;
  }
  TokenIds ids;
  WordCache cache;
  auto encode_word = [&](Piece word) {
    state.model.encode(word.text, cache, ids);
  };
  auto encode_raw = [&](const Segment& raw) {
    if (raw.id) {
      ids.push_back(*raw.id);
      return;
    }
    auto normalized =
        state.normalizer(text.substr(raw.start, raw.stop - raw.start));
    state.added.split_normalized(normalized, [&](const Segment& part) {
      if (part.id) {
        ids.push_back(*part.id);
        return;
      }
      auto piece = std::string_view(normalized)
                       .substr(part.start, part.stop - part.start);
      bool at_start = raw.start == 0 && part.start == 0;
      state.pre_tokenizer({piece, at_start}, encode_word);
    });
  };
  state.added.split_raw(text, encode_raw);
  if (add_special_tokens) {
    state.post_processor(ids);
  }
  return ids;
}

std::string Tokenizer::decode(
    std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  std::string out;
  DecoderRun run(state_->decoder);
  for (auto id : ids) {
    if (auto* token = state_->printed(id, skip_special_tokens)) {
      run.push(*token, out);
    }
  }
  run.finish(out);
  return out;
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  auto id = state_->added.id_of(std::string(token));
  return id ? id : state_->model.id_of(token);
}

std::int32_t Tokenizer::vocab_size() const {
  return 1 + std::max(state_->model.largest_id(), state_->added.largest_id());
}

struct StreamDecoder::State {
  std::shared_ptr<const Tokenizer::State> tokenizer;
  DecoderRun run;

  explicit State(std::shared_ptr<const Tokenizer::State> shared)
      : tokenizer(std::move(shared)), run(tokenizer->decoder) {}
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer)
    : state_(std::make_unique<State>(tokenizer.state_)) {}
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::push(std::int32_t id) {
  std::string out;
  if (auto* token = state_->tokenizer->printed(id, true)) {
    state_->run.push(*token, out);
  }
  return out;
}

std::string StreamDecoder::flush() {
  std::string out;
  state_->run.finish(out);
  state_->run = DecoderRun(state_->tokenizer->decoder);
  return out;
}

} // namespace tessera
