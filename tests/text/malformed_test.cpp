#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <random>
#include <set>

#include "tessera/error.h"
#include "text/small.h"

namespace tessera::tests {

namespace {

using nlohmann::json;

// What loading a file of this content says; "" where it is taken.
std::string complaint(const std::string& content) {
  Folder folder;
  auto file = folder.write("tokenizer.json", content);
  try {
    auto tokenizer = Tokenizer::load(file);
    auto ids = tokenizer.encode("ab new\xFF ab<s>12");
    tokenizer.decode(ids, false);
    return "";
  } catch (const InputError& error) {
    std::string text = error.what();
    EXPECT_NE(text.find("tokenizer"), text.npos) << text;
    EXPECT_EQ(text.find('\n'), text.npos) << text;
    return text;
  }
}

// The small tokenizer with one value changed.
std::string changed(const std::string& pointer, const json& value) {
  auto document = json::parse(small_tokenizer());
  document[json::json_pointer(pointer)] = value;
  return complaint(document.dump());
}

void expect_named(
    const std::string& pointer, const json& value, const std::string& part) {
  auto text = changed(pointer, value);
  EXPECT_NE(text.find(part), text.npos) << pointer << ": " << text;
}

} // namespace

TEST(Malformed, TheSmallTokenizerIsSound) {
  EXPECT_EQ(complaint(small_tokenizer()), "");
  Folder folder;
  auto tokenizer =
      Tokenizer::load(folder.write("tokenizer.json", small_tokenizer()));
  EXPECT_EQ(tokenizer.encode("ab b"), (TokenIds{0, 5, 4, 2}));
  EXPECT_EQ(tokenizer.encode("ab b", false), (TokenIds{5, 4, 2}));
  EXPECT_EQ(tokenizer.decode(TokenIds{0, 5, 4, 2}), "ab b");
  EXPECT_EQ(tokenizer.id_of("new"), 6);
  EXPECT_EQ(tokenizer.id_of("old"), std::nullopt);
  EXPECT_EQ(tokenizer.vocab_size(), 7);
}

TEST(Malformed, ComponentsAreRefusedByName) {
  expect_named("/model/type", "Unigram", "Unigram");
  expect_named("/model/dropout", 0.5, "model.dropout; got 0.5");
  expect_named("/model/end_of_word_suffix", "</w>", "</w>");
  expect_named("/normalizer/normalizers/0/type", "BertNormalizer", "BertNorm");
  expect_named("/pre_tokenizer/type", "UnicodeScripts", "UnicodeScripts");
  expect_named("/decoder/type", "WordPiece", "WordPiece");
  expect_named("/post_processor/type", "BertProcessing", "BertProcessing");
  expect_named("/truncation", {{"max_length", 5}}, "truncation");
  expect_named("/version", "2.0", "2.0");
  auto regex = "/pre_tokenizer/pretokenizers/0/pattern/Regex";
  expect_named(regex, "\\p{Han}+", "\\p{Han}");
  expect_named(regex, "\\w+", "escape");
  expect_named(regex, "[a&&b]", "class within a class");
  expect_named(regex, "(?<name>a)", "group");
  expect_named(regex, "(a", "pattern");
  auto scheme = "/pre_tokenizer/pretokenizers/1/prepend_scheme";
  expect_named(scheme, "first", "first");
}

TEST(Malformed, ValuesAreRefusedWithTheirPlace) {
  expect_named("/model/vocab/a", -1, "at model.vocab; got -1");
  expect_named("/model/vocab/a", 2, "two tokens with id 2");
  expect_named("/model/vocab/a", 1u << 31, "2147483648");
  expect_named("/model/merges/1", "a b c", "model.merges[1]");
  expect_named("/model/merges/1", "a c", "tokens of the vocabulary");
  expect_named("/added_tokens/0/special", nullptr, "added_tokens[0].special");
  expect_named("/added_tokens/0/content", 3, "a string");
  EXPECT_NE(
      complaint("{\n \"a\": \n }").find("tokenizer.json:3"), std::string::npos);
  EXPECT_NE(complaint("").find("syntax error"), std::string::npos);
  EXPECT_THROW(Tokenizer::load("no/such/file.json"), InputError);
  EXPECT_THROW(Tokenizer::load(testing::TempDir()), InputError);
}

TEST(Malformed, NestingHasABottom) {
  constexpr std::size_t deep = 200'000;
  EXPECT_NE(complaint(std::string(deep, '[')), "");
  EXPECT_NE(complaint(std::string(deep, '[') + std::string(deep, ']')), "");
  std::string open = R"({"type": "Sequence", "pretokenizers": [)";
  std::string nested = "null";
  for (int i = 0; i < 2000; ++i) {
    nested = i == 0 ? R"({"type": "WhitespaceSplit"})" : open + nested + "]}";
  }
  auto document = small_tokenizer();
  auto at = document.find("\"pre_tokenizer\": ") + 17;
  document.insert(at, nested + ", \"was\": ");
  auto text = complaint(document);
  EXPECT_NE(text.find("nested"), text.npos) << text;
}

// Every value of the document, replaced by values of other kinds.
TEST(Malformed, NoValueOfAWrongKindIsFatal) {
  auto document = json::parse(small_tokenizer());
  auto flat = document.flatten();
  std::set<std::string> pointers = {""};
  for (const auto& [pointer, value] : flat.items()) {
    for (auto slash = pointer.find('/', 1); slash != pointer.npos;
         slash = pointer.find('/', slash + 1)) {
      pointers.insert(pointer.substr(0, slash));
    }
    pointers.insert(pointer);
  }
  std::vector<json> values = {
      nullptr,
      true,
      -1,
      7,
      1e300,
      "",
      "x",
      "\n",
      json::array(),
      {nullptr},
      json::object(),
      {{"type", "Sequence"}},
      {{"x", {1, 2}}}};
  int refused = 0;
  for (const auto& pointer : pointers) {
    for (const auto& value : values) {
      auto broken = document;
      broken[json::json_pointer(pointer)] = value;
      refused += complaint(broken.dump()) != "";
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(Malformed, NoMutationIsFatal) {
  std::mt19937 random(1);
  auto below = [&](std::size_t n) {
    return random() % n;
  };
  auto source = small_tokenizer();
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    auto text = source;
    for (auto count = 1 + below(3); count > 0; --count) {
      auto at = below(text.size());
      auto size = 1 + below(12);
      switch (below(4)) {
        case 0:
          text.erase(at, size);
          break;
        case 1:
          text[at] = static_cast<char>(below(256));
          break;
        case 2:
          text.insert(at, text.substr(below(text.size()), size));
          break;
        default:
          text[at] = "{}[]\",:0123456789-\\u"[below(20)];
      }
    }
    refused += complaint(text) != "";
  }
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 2000);
}

} // namespace tessera::tests
