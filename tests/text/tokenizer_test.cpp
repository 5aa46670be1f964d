#include "tessera/tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "text/fixtures.h"
#include "text/unicode/utf8.h"

namespace tessera::tests {

namespace {

// Pieces of a stream, joined.
std::string streamed(const Tokenizer& tokenizer, const TokenIds& ids) {
  StreamDecoder stream(tokenizer);
  std::string out;
  for (auto id : ids) {
    out += stream.push(id);
    EXPECT_TRUE(text::is_well_formed(out));
  }
  return out + stream.flush();
}

void expect_decoded(
    const Tokenizer& tokenizer, const TokenIds& ids, Reader& expected) {
  auto without = expected.text();
  ASSERT_EQ(tokenizer.decode(ids), without);
  ASSERT_EQ(tokenizer.decode(ids, false), expected.text());
  if (ids.size() < 300) {
    ASSERT_EQ(streamed(tokenizer, ids), without);
  }
}

class AsThePackage : public testing::TestWithParam<std::string> {};

} // namespace

TEST_P(AsThePackage, EncodesAndDecodes) {
  auto tokenizer = Tokenizer::load(fixture(GetParam()) / "tokenizer.json");
  Reader expected(fixture(GetParam()) / "expected.bin");
  auto step = expected.number();
  auto documents = corpus();
  ASSERT_GT(documents.size(), 500u);
  for (std::size_t i = 0; i < documents.size(); i += step) {
    SCOPED_TRACE("document " + std::to_string(i));
    auto special = expected.ids();
    ASSERT_EQ(tokenizer.encode(documents[i]), special);
    ASSERT_EQ(tokenizer.encode(documents[i], false), expected.ids());
    ASSERT_NO_FATAL_FAILURE(expect_decoded(tokenizer, special, expected));
  }
  while (!expected.at_end()) {
    auto ids = expected.ids();
    SCOPED_TRACE(testing::PrintToString(ids));
    ASSERT_NO_FATAL_FAILURE(expect_decoded(tokenizer, ids, expected));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds,
    AsThePackage,
    testing::Values(
        "qwen2",
        "llama3",
        "gpt2",
        "gpt2_prefix",
        "gpt4o",
        "digits",
        "words",
        "removed",
        "llama2",
        "llama2_unknown",
        "metaspace_first",
        "metaspace_always",
        "metaspace_never",
        "gemma"),
    [](const auto& name) { return name.param; });

} // namespace tessera::tests
