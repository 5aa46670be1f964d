#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tessera/error.h"
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

// What such a pattern tries doubles with each letter.
TEST(Hostile, APatternThatExplodesIsRefused) {
  for (auto* pattern : {"(a+)+c", "(a|aa)+$", "(?:a*)*c", "a*a*a*a*a*a*c"}) {
    auto text = repeated("a", 300) + "bc"; // a c, or PCRE2 sees at once
    try {
      text::Regex::compile(pattern).for_each_match(text, [](text::Match) {});
      ADD_FAILURE() << pattern;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(pattern), std::string::npos);
    }
  }
}

TEST(Hostile, ReplacementsThatGrowWithoutEndAreRefused) {
  std::string step = R"({"type": "Replace", "pattern": {"String": "a"},
                         "content": "aaaaaaaaaaaaaaaa"})";
  auto sequence = [&](const char* key, int count, const std::string& one) {
    std::string steps = one;
    for (int i = 1; i < count; ++i) {
      steps += "," + one;
    }
    return std::string(R"({"type": "Sequence", ")") + key + "\": [" + steps +
        "]}";
  };
  auto load = [&](const char* component, const std::string& value) {
    auto document = nlohmann::json::parse(small_tokenizer());
    document[component] = nlohmann::json::parse(value);
    Folder folder;
    return Tokenizer::load(folder.write("tokenizer.json", document.dump()));
  };
  auto refusal = [&](auto action) {
    try {
      action();
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (int count : {2, 9, 60}) {
    auto normalizing = load("normalizer", sequence("normalizers", count, step));
    auto decoding = load("decoder", sequence("decoders", count, step));
    bool grows = count > 5; // 16^5 is a mebibyte
    EXPECT_EQ(refusal([&] { normalizing.encode("a"); }) != "", grows);
    EXPECT_EQ(refusal([&] { decoding.decode(TokenIds{1}); }) != "", grows);
  }
  std::string split = R"({"type": "WhitespaceSplit"})";
  auto many = sequence("pretokenizers", 5000, split);
  EXPECT_NE(
      refusal([&] { load("pre_tokenizer", many); }).find("steps"),
      std::string::npos);
  std::string bytes = R"({"type": "ByteLevel", "add_prefix_space": false,
                          "trim_offsets": false, "use_regex": false})";
  auto twice = sequence("pretokenizers", 2, bytes);
  EXPECT_NE(
      refusal([&] { load("pre_tokenizer", twice); }).find("one ByteLevel"),
      std::string::npos);
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
