#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/json.h"
#include "text/pipeline/normalizer.h"
#include "text/pipeline/pre_tokenizer.h"

namespace tessera::text {

// The steps of `decoder` in tokenizer.json. Each turns tokens into tokens.
namespace decode {

// Writes the characters of ByteLevel's alphabet as bytes, all tokens as one.
struct Bytes {};
// <0x41> and the like; a run of them that is not UTF-8 becomes U+FFFD for each.
struct ByteFallback {};
// All tokens as one.
struct Fuse {};
struct Strip {
  std::string content; // one character
  std::uint64_t start;
  std::uint64_t stop;
};
struct Metaspace {
  std::string replacement;
  bool strips_first;
};
// What stands in for a decoder where there is none: a space between tokens.
struct Spaced {};

using Step =
    std::variant<Bytes, ByteFallback, Fuse, Strip, Metaspace, Spaced, Replace>;

} // namespace decode

class Decoder {
 public:
  explicit Decoder(const JsonField& field);

 private:
  friend class DecoderRun;

  void read(const JsonField& field, int depth);
  bool joined_before(std::size_t step) const;
  bool streams(std::size_t step) const;

  std::vector<decode::Step> steps_;
};

// One text on its way through a decoder. Text comes out as soon as no later
// token can change it.
class DecoderRun {
 public:
  // `decoder` outlives the run.
  explicit DecoderRun(const Decoder& decoder);

  void push(const std::string& token, std::string& out);
  void finish(std::string& out);

 private:
  struct State {
    std::string held;
    bool first = true;
    std::uint64_t stripped = 0;
  };

  void feed(std::size_t step, const std::string& token, std::string& out);
  void apply(
      std::size_t i,
      const decode::Bytes&,
      const std::string& token,
      std::string& out);
  void apply(
      std::size_t i,
      const decode::ByteFallback&,
      const std::string& token,
      std::string& out);
  void apply(
      std::size_t i,
      const decode::Fuse&,
      const std::string& token,
      std::string& out);
  void apply(
      std::size_t i,
      const decode::Strip&,
      const std::string& token,
      std::string& out);
  void apply(
      std::size_t i,
      const decode::Metaspace&,
      const std::string& token,
      std::string& out);
  void apply(
      std::size_t i,
      const decode::Spaced&,
      const std::string& token,
      std::string& out);
  void apply(
      std::size_t i,
      const Replace&,
      const std::string& token,
      std::string& out);
  void release_characters(std::size_t i, bool at_end, std::string& out);
  void release_byte_run(std::size_t i, std::string& out);

  const Decoder* decoder_;
  std::vector<State> states_;
  std::size_t pushed_ = 0; // bytes of all tokens
};

} // namespace tessera::text
