#include <gtest/gtest.h>

#include "text/fixtures.h"
#include "text/normalizer.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace tessera::tests {

namespace {

using Ranges = std::vector<std::pair<char32_t, char32_t>>;

// The code points that a pattern matches.
Ranges members(const text::Regex& regex) {
  Ranges out;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) {
      continue;
    }
    std::string one;
    text::append_utf8(one, c);
    if (!regex.matches_at_start(one)) {
      continue;
    }
    if (!out.empty() && out.back().second + 1 == c) {
      out.back().second = c;
    } else {
      out.emplace_back(c, c);
    }
  }
  return out;
}

} // namespace

// Every code point is in the class that Oniguruma, the package's regular
// expressions, puts it in.
TEST(Unicode, ClassesAreThePackagesOnEveryCodePoint) {
  auto file = fixture("classes.json").string();
  auto classes =
      text::parse_json("fixture", text::read_file("fixture", file), file);
  ASSERT_GT(classes.size(), 20u);
  for (const auto& [pattern, ranges] : classes.items()) {
    Ranges expected;
    for (const auto& range : ranges) {
      expected.emplace_back(
          range[0].get<std::uint32_t>(), range[1].get<std::uint32_t>());
    }
    EXPECT_EQ(members(text::Regex::compile(pattern)), expected) << pattern;
  }
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
