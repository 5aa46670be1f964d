#include "text/pipeline/decoder.h"

#include <algorithm>
#include <optional>

#include "text/pipeline/byte_level.h"
#include "text/unicode/utf8.h"

namespace tessera::text {

namespace {

using namespace decode;

template <typename T>
bool is(const Step& step) {
  return std::holds_alternative<T>(step);
}

int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0'
      : c >= 'A' && c <= 'F'  ? c - 'A' + 10
      : c >= 'a' && c <= 'f'  ? c - 'a' + 10
                              : -1;
}

// "<0x41>" -> 'A'. The package reads the digits as Rust does, with a sign.
std::optional<char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') {
    return std::nullopt;
  }
  int high = token[3] == '+' ? 0 : hex_digit(token[3]);
  int low = hex_digit(token[4]);
  if (high < 0 || low < 0) {
    return std::nullopt;
  }
  return static_cast<char>(high * 16 + low);
}

std::string strip_token(const Strip& step, std::string_view token) {
  auto size = step.content.size();
  for (std::uint64_t i = 0; i < step.start && token.starts_with(step.content);
       ++i) {
    token.remove_prefix(size);
  }
  for (std::uint64_t i = 0; i < step.stop && token.ends_with(step.content);
       ++i) {
    token.remove_suffix(size);
  }
  return std::string(token);
}

// The bytes that a token of ByteLevel's alphabet stands for; a token with any
// other character stands for itself.
std::string bytes_of(const std::string& token) {
  std::string bytes;
  std::string_view rest = token;
  while (!rest.empty()) {
    auto byte = byte_of_letter(next_code_point(rest));
    if (!byte) {
      return token;
    }
    bytes += static_cast<char>(*byte);
  }
  return bytes;
}

} // namespace

Decoder::Decoder(const JsonField& field) {
  if (field.is_null()) {
    steps_.emplace_back(Spaced{});
  } else {
    read(field, 0);
  }
}

void Decoder::read(const JsonField& field, int depth) {
  const auto& type = field["type"].text();
  if (depth > max_nesting) {
    field.refuse("fewer nested sequences");
  }
  if (steps_.size() >= max_steps) {
    field.refuse("fewer steps");
  }
  if (type == "Sequence") {
    for (const auto& step : field["decoders"].elements()) {
      read(step, depth + 1);
    }
  } else if (type == "ByteLevel") {
    steps_.emplace_back(Bytes{});
  } else if (type == "ByteFallback") {
    steps_.emplace_back(decode::ByteFallback{});
  } else if (type == "Fuse") {
    steps_.emplace_back(Fuse{});
  } else if (type == "Replace") {
    steps_.emplace_back(read_replace(field));
  } else if (type == "Metaspace") {
    auto step = read_metaspace(field);
    steps_.emplace_back(decode::Metaspace{
        step.replacement, step.prepend != text::Metaspace::Prepend::never});
  } else if (type == "Strip") {
    const auto& content = field["content"].text();
    if (content.empty() || front_unit(content).length != content.size()) {
      field["content"].refuse("one character");
    }
    auto count = [&](const char* name) {
      return static_cast<std::uint64_t>(field[name].natural());
    };
    steps_.emplace_back(Strip{content, count("start"), count("stop")});
  } else {
    field["type"].refuse(
        "a supported decoder (Sequence, ByteLevel, ByteFallback, Fuse, "
        "Replace, Metaspace, Strip)");
  }
}

// Whether all tokens are one when they come to a step.
bool Decoder::joined_before(std::size_t step) const {
  return std::any_of(
      steps_.begin(),
      steps_.begin() + static_cast<std::ptrdiff_t>(step),
      [](const Step& s) { return is<Fuse>(s) || is<Bytes>(s); });
}

// Whether the steps behind this one can take their one token bit by bit.
bool Decoder::streams(std::size_t step) const {
  return std::all_of(
      steps_.begin() + static_cast<std::ptrdiff_t>(step) + 1,
      steps_.end(),
      [](const Step& s) {
        auto* strip = std::get_if<Strip>(&s);
        return is<Fuse>(s) || (strip != nullptr && strip->stop == 0);
      });
}

DecoderRun::DecoderRun(const Decoder& decoder)
    : decoder_(&decoder), states_(decoder.steps_.size()) {}

void DecoderRun::push(const std::string& token, std::string& out) {
  pushed_ += token.size();
  feed(0, token, out);
}

void DecoderRun::feed(
    std::size_t step, const std::string& token, std::string& out) {
  if (step == states_.size()) {
    out += token;
    return;
  }
  std::visit(
      [&](const auto& s) { apply(step, s, token, out); },
      decoder_->steps_[step]);
}

void DecoderRun::finish(std::string& out) {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const auto& step = decoder_->steps_[i];
    if (is<Bytes>(step)) {
      release_characters(i, true, out);
    } else if (is<decode::ByteFallback>(step)) {
      release_byte_run(i, out);
    } else if (is<Fuse>(step)) {
      feed(i + 1, std::exchange(states_[i].held, {}), out);
    }
  }
}

void DecoderRun::apply(
    std::size_t i, const Bytes&, const std::string& token, std::string& out) {
  states_[i].held += bytes_of(token);
  if (decoder_->streams(i)) {
    release_characters(i, false, out);
  }
}

void DecoderRun::release_characters(
    std::size_t i, bool at_end, std::string& out) {
  auto& held = states_[i].held;
  auto whole = held.size();
  for (std::size_t back = 1;
       !at_end && back <= std::min(held.size(), std::size_t{3});
       ++back) {
    if (front_unit(std::string_view(held).substr(held.size() - back))
            .truncated) {
      whole = held.size() - back;
    }
  }
  feed(i + 1, replace_ill_formed(std::string_view(held).substr(0, whole)), out);
  held.erase(0, whole);
}

void DecoderRun::apply(
    std::size_t i,
    const decode::ByteFallback&,
    const std::string& token,
    std::string& out) {
  if (auto byte = fallback_byte(token)) {
    states_[i].held += *byte;
    return;
  }
  release_byte_run(i, out);
  feed(i + 1, token, out);
}

void DecoderRun::release_byte_run(std::size_t i, std::string& out) {
  auto run = std::exchange(states_[i].held, {});
  if (run.empty()) {
    return;
  }
  if (is_well_formed(run)) {
    feed(i + 1, run, out);
    return;
  }
  for (std::size_t k = 0; k < run.size(); ++k) {
    feed(i + 1, "\uFFFD", out);
  }
}

void DecoderRun::apply(
    std::size_t i, const Fuse&, const std::string& token, std::string& out) {
  if (decoder_->streams(i)) {
    feed(i + 1, token, out);
  } else {
    states_[i].held += token;
  }
}

void DecoderRun::apply(
    std::size_t i,
    const Strip& step,
    const std::string& token,
    std::string& out) {
  if (!decoder_->joined_before(i) || step.stop > 0) {
    feed(i + 1, strip_token(step, token), out);
    return;
  }
  auto& state = states_[i];
  std::string_view rest = token;
  while (state.first && !rest.empty()) {
    if (state.stripped < step.start && rest.starts_with(step.content)) {
      rest.remove_prefix(step.content.size());
      ++state.stripped;
    } else {
      state.first = false;
    }
  }
  feed(i + 1, std::string(rest), out);
}

void DecoderRun::apply(
    std::size_t i,
    const decode::Metaspace& step,
    const std::string& token,
    std::string& out) {
  bool drops = std::exchange(states_[i].first, false) && step.strips_first;
  std::string text;
  std::string_view rest = token;
  while (!rest.empty()) {
    auto next = std::min(rest.find(step.replacement), rest.size());
    text += rest.substr(0, next);
    rest.remove_prefix(next);
    if (!rest.empty()) {
      text += drops ? "" : " ";
      rest.remove_prefix(step.replacement.size());
    }
  }
  feed(i + 1, text, out);
}

void DecoderRun::apply(
    std::size_t i, const Spaced&, const std::string& token, std::string& out) {
  bool first = std::exchange(states_[i].first, false);
  feed(i + 1, first ? token : " " + token, out);
}

void DecoderRun::apply(
    std::size_t i,
    const Replace& step,
    const std::string& token,
    std::string& out) {
  feed(i + 1, step(token, most_growth(pushed_)), out);
}

} // namespace tessera::text
