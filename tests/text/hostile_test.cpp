#include <gtest/gtest.h>

#include "text/fixtures.h"
#include "text/small.h"
#include "text/unicode/regex.h"
#include "text/unicode/utf8.h"

namespace tessera::tests {

namespace {

std::string repeated(std::string_view part, std::size_t bytes) {
  std::string out;
  while (out.size() < bytes) {
    out += part;
  }
  return out;
}

} // namespace

// Each of these takes a quadratic tokenizer hours.
TEST(Hostile, LongRunsAreEncodedWhole) {
  auto texts = {
      repeated("a", 500'000),
      repeated(" ", 500'000) + "x",
      repeated("\n", 500'000),
      repeated("\u0300\u0316", 500'000),
      repeated("\xFF", 300'000),
      repeated("<|", 500'000),
      repeated("<|lstrip|> ", 500'000)};
  for (auto* name : {"qwen2", "llama2", "metaspace_first"}) {
    auto tokenizer = Tokenizer::load(fixture(name) / "tokenizer.json");
    bool composes = std::string(name) == "qwen2";
    for (const auto& text : texts) {
      auto ids = tokenizer.encode(text, false);
      EXPECT_FALSE(ids.empty());
      if (text[0] == 'a' || text[0] == '\n' || (text[0] == ' ' && composes)) {
        EXPECT_TRUE(tokenizer.decode(ids) == text);
      }
    }
  }
}

TEST(Hostile, AMatchNeedsNoStack) {
  auto text = repeated("ab", 2'000'000);
  std::size_t matched = 0;
  text::Regex::compile("(?:a|b|(?:c|d)*x)+")
      .for_each_match(text, [&](text::Match match) {
        matched += match.stop - match.start;
      });
  EXPECT_EQ(matched, text.size());
}

TEST(Hostile, EmptyMatchesGoOn) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  text::Regex::compile("b*").for_each_match("abbé", [&](text::Match match) {
    found.emplace_back(match.start, match.stop);
  });
  std::vector<std::pair<std::size_t, std::size_t>> expected = {
      {0, 0}, {1, 3}, {5, 5}};
  EXPECT_EQ(found, expected);
}

TEST(Hostile, AStreamOfAnyLengthIsDecoded) {
  for (auto* name : {"qwen2", "llama2", "metaspace_first"}) {
    auto tokenizer = Tokenizer::load(fixture(name) / "tokenizer.json");
    auto ids = tokenizer.encode(repeated("words \U0001F600 é\n", 300'000));
    StreamDecoder stream(tokenizer);
    std::string joined;
    for (auto id : ids) {
      auto piece = stream.push(id);
      ASSERT_TRUE(text::is_well_formed(piece));
      joined += piece;
    }
    joined += stream.flush();
    EXPECT_TRUE(joined == tokenizer.decode(ids)) << name;
  }
}

// Pieces come as soon as they can, not with the flush.
TEST(Hostile, AStreamDoesNotHoldBackWholeCharacters) {
  auto tokenizer = Tokenizer::load(fixture("qwen2") / "tokenizer.json");
  StreamDecoder stream(tokenizer);
  std::string joined;
  for (auto id : tokenizer.encode("plain text", false)) {
    joined += stream.push(id);
  }
  EXPECT_EQ(joined, "plain text");
  EXPECT_EQ(stream.flush(), "");
}

} // namespace tessera::tests
