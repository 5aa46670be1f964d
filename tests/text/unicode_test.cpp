#include <gtest/gtest.h>

#include "text/fixtures.h"
#include "text/pipeline/normalizer.h"
#include "text/unicode/regex.h"
#include "text/unicode/utf8.h"
#include "text/unicode/word_class.h"

namespace tessera::tests {

namespace {

// As in make_fixtures.py.
bool sampled(char32_t c) {
  bool surrogate = c >= 0xD800 && c <= 0xDFFF;
  return !surrogate &&
      (c < 0x33000 || (c >= 0xE0000 && c < 0xE0200) || c % 0x80 == 0);
}

std::string utf8(char32_t c) {
  std::string out;
  text::append_utf8(out, c);
  return out;
}

nlohmann::json read_json(const std::string& name) {
  auto file = fixture(name);
  return text::parse_json(
      "fixture", text::read_file("fixture", file), file.string());
}

std::vector<bool> members(const nlohmann::json& ranges) {
  std::vector<bool> out(0x110000);
  for (const auto& range : ranges) {
    for (auto c = range[0].get<std::size_t>(); c <= range[1]; ++c) {
      out[c] = true;
    }
  }
  return out;
}

} // namespace

// A code point is in the class that Oniguruma, the package's regular
// expressions, puts it in.
TEST(Unicode, ClassesAreThePackages) {
  auto classes = read_json("classes.json");
  ASSERT_GT(classes.size(), 20u);
  for (const auto& [pattern, ranges] : classes.items()) {
    auto regex = text::Regex::compile(pattern);
    auto expected = members(ranges);
    std::vector<char32_t> wrong;
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
      if (sampled(c) && regex.matches_at_start(utf8(c)) != expected[c]) {
        wrong.push_back(c);
      }
    }
    EXPECT_TRUE(wrong.empty())
        << pattern << " on " << wrong.size() << ", the first "
        << (wrong.empty() ? 0 : static_cast<std::uint32_t>(wrong.front()));
  }
}

TEST(Unicode, WordsAreThePackages) {
  std::vector<std::uint32_t> expected = read_json("words.json");
  ASSERT_GT(expected.size(), 100000u);
  std::vector<std::uint32_t> found;
  for (char32_t c = 0; c < 0x33000; ++c) {
    if (sampled(c) && c != '@' && text::starts_with_word(utf8(c))) {
      found.push_back(c);
      EXPECT_TRUE(text::ends_with_word("-" + utf8(c)));
    }
  }
  EXPECT_EQ(found, expected);
}

TEST(Unicode, CanonicalFormsAreThePackages) {
  Reader expected(fixture("normal_forms.bin"));
  for (bool compose : {true, false}) {
    auto source = expected.text();
    auto wanted = expected.text();
    EXPECT_TRUE(text::canonical_form(source, compose) == wanted) << compose;
  }
}

} // namespace tessera::tests
