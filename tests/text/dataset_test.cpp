#include "tessera/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "tessera/error.h"
#include "text/small.h"

namespace tessera::tests {

namespace {

// <s> 0, a 1, b 2, ab 3, space 4, " ab" 5; 6 ends a document.
class DatasetTest : public testing::Test {
 protected:
  Folder folder;
  Tokenizer tokenizer =
      Tokenizer::load(folder.write("tokenizer.json", small_tokenizer()));
  DatasetOptions options{.eos_id = 6};

  Dataset read(const std::string& name, const std::string& content) {
    return read_dataset(folder.write(name, content), tokenizer, options);
  }

  void expect_error(
      const std::string& name,
      const std::string& content,
      const std::string& part) {
    try {
      read(name, content);
      ADD_FAILURE() << "no error, expected " << part;
    } catch (const InputError& error) {
      std::string text = error.what();
      EXPECT_TRUE(text.starts_with("[dataset] expected ")) << text;
      EXPECT_NE(text.find(part), text.npos) << text << "\nlacks " << part;
      EXPECT_EQ(text.find('\n'), text.npos) << text;
    }
  }
};

} // namespace

TEST_F(DatasetTest, ReadsTextByLine) {
  auto data = read(
      "train.jsonl",
      "\xEF\xBB\xBF{\"text\": \"ab\"}\r\n \t\r\n"
      "{\"text\": \"b\", \"source\": [1]}");
  std::vector<Document> expected = {{{0, 5, 6}, 0, 1}, {{0, 4, 2, 6}, 0, 3}};
  EXPECT_EQ(data.documents, expected);
  EXPECT_EQ(data.file, folder / "train.jsonl");
}

TEST_F(DatasetTest, PromptAndCompletionMakeOneText) {
  std::string line = R"({"prompt": "b ", "completion": "b"})";
  auto whole = read("a.jsonl", R"({"text": "b b"})").documents;
  EXPECT_EQ(read("a.jsonl", line).documents, whole);
  options.mask_prompt = true;
  auto masked = read("a.jsonl", line).documents;
  EXPECT_EQ(masked[0].tokens, whole[0].tokens);
  auto prompt = tokenizer.encode("b ");
  auto length = static_cast<std::size_t>(masked[0].prompt_length);
  ASSERT_GT(length, 0u);
  ASSERT_LT(length, masked[0].tokens.size());
  EXPECT_TRUE(std::equal(
      prompt.begin(),
      prompt.begin() + masked[0].prompt_length,
      masked[0].tokens.begin()));
  // The next token is the completion's, or reaches over the boundary.
  EXPECT_TRUE(
      length == prompt.size() || prompt[length] != masked[0].tokens[length]);
  expect_error("a.jsonl", R"({"text": "a"})", "--mask-prompt; got \"text\"");
  expect_error("a.txt", "a", "plain text");
}

TEST_F(DatasetTest, TheEndTokenIsNotDoubled) {
  EXPECT_EQ(
      read("a.jsonl", R"({"text": "new"})").documents[0].tokens,
      (TokenIds{0, 6}));
  options.eos_id = std::nullopt;
  EXPECT_EQ(
      read("a.jsonl", R"({"text": "ab"})").documents[0].tokens,
      (TokenIds{0, 5}));
}

TEST_F(DatasetTest, ErrorsNameFileAndLine) {
  std::string good = "{\"text\": \"a\"}\n\n";
  auto bad = [&](const std::string& line, const std::string& part) {
    expect_error("train.jsonl", good + line + "\n" + good, part);
    expect_error("train.jsonl", good + line, "train.jsonl:3)");
  };
  bad("{\"text\": \"a\"", "syntax error");
  bad("{\"text\": \"\xFF\"}", "syntax error");
  bad("{\"text\": 1e999}", "in range");
  bad("{\"text\": 7}", "string at \"text\"; got number");
  bad("{\"prompt\": \"a\", \"completion\": null}", "got null");
  bad("[\"text\"]", "an object; got array");
  bad("{\"prompt\": \"a\"}", "got \"prompt\"");
  bad("{\"text\": \"a\", \"completion\": \"b\"}", "\"text\", \"completion\"");
  bad("{\"Text\": \"a\"}", "none of them");
  bad("{\"messages\": []}", "\"messages\", chat data");
}

TEST_F(DatasetTest, AnEmptySplitIsRefused) {
  expect_error("a.jsonl", "", "at least one document; got none");
  expect_error("a.jsonl", "\n \n", "got none");
  expect_error("a.txt", "", "got none");
  expect_error("a.csv", "a", ".jsonl or .txt");
  EXPECT_THROW(read_dataset(folder / "no.jsonl", tokenizer), InputError);
  EXPECT_THROW(read_dataset(folder / "no.txt", tokenizer), InputError);
  std::filesystem::create_directory(folder / "folder.jsonl");
  EXPECT_THROW(read_dataset(folder / "folder.jsonl", tokenizer), InputError);
}

TEST_F(DatasetTest, LongDocumentsAreCountedAndNamed) {
  options.max_seq_length = 4;
  std::string text =
      "{\"text\": \"ab\"}\n{\"text\": \"b b\"}\n{\"text\": \"b b b\"}\n";
  expect_error("a.jsonl", text, "at most 4 tokens");
  expect_error("a.jsonl", text, "got 2 of 3 documents");
  expect_error("a.jsonl", text, "the longest of 8 (");
  expect_error("a.jsonl", text, "a.jsonl:3); raise --max-seq-length");
  options.max_seq_length = 8;
  EXPECT_EQ(read("a.jsonl", text).documents.size(), 3u);
  options.max_seq_length = 1;
  expect_error("a.jsonl", text, "2 or more");
}

TEST_F(DatasetTest, DocumentsWithoutATokenToPredictAreKept) {
  options.eos_id = std::nullopt;
  auto short_ones = read("a.jsonl", "{\"text\": \"\"}\n{\"text\": \"ab\"}");
  std::vector<Document> expected = {{{0}, 0, 1}, {{0, 5}, 0, 2}};
  EXPECT_EQ(short_ones.documents, expected);
  options.mask_prompt = true;
  auto masked = read("a.jsonl", R"({"prompt": "a b", "completion": ""})");
  std::vector<std::size_t> first = {0};
  EXPECT_EQ(make_batch(masked, first).target_count, 0);
  auto batch = make_batch(short_ones, first);
  EXPECT_EQ(batch.columns, 0);
  EXPECT_EQ(batch.target_count, 0);
}

TEST_F(DatasetTest, PlainTextIsCutIntoRowsThatOverlapByOne) {
  options.max_seq_length = 3;
  // 0 4 1 4 1 4 1 6
  auto rows = read("a.txt", "a a a").documents;
  std::vector<Document> expected = {
      {{0, 4, 1}, 0, 1}, {{1, 4, 1}, 0, 2}, {{1, 4, 1}, 0, 3}, {{1, 6}, 0, 4}};
  EXPECT_EQ(rows, expected);
  options.max_seq_length = 0;
  EXPECT_EQ(
      read("a.txt", "a a a").documents,
      (std::vector<Document>{{{0, 4, 1, 4, 1, 4, 1, 6}, 0, 1}}));
}

TEST_F(DatasetTest, EveryTokenOfPlainTextIsPredictedOnce) {
  for (int limit = 2; limit < 12; ++limit) {
    options.max_seq_length = limit;
    TokenIds predicted;
    for (const auto& row : read("a.txt", "a b ab b a").documents) {
      EXPECT_LE(row.tokens.size(), static_cast<std::size_t>(limit));
      predicted.insert(
          predicted.end(), row.tokens.begin() + 1, row.tokens.end());
    }
    auto all = tokenizer.encode("a b ab b a");
    all.push_back(6);
    EXPECT_EQ(predicted, TokenIds(all.begin() + 1, all.end())) << limit;
  }
}

TEST_F(DatasetTest, FindsTheFileOfASplit) {
  EXPECT_THROW(find_split(folder.path(), "train"), InputError);
  EXPECT_EQ(find_split(folder.path(), "test", false), "");
  folder.write("train.txt", "a");
  EXPECT_EQ(find_split(folder.path(), "train"), folder / "train.txt");
  folder.write("train.jsonl", "a");
  EXPECT_THROW(find_split(folder.path(), "train"), InputError);
  EXPECT_THROW(find_split(folder.path(), "train", false), InputError);
}

TEST(EpochOrder, IsAPermutationOfSeedAndEpoch) {
  for (std::size_t count : {0, 1, 2, 7, 1000}) {
    auto order = epoch_order(count, 3, 1);
    EXPECT_EQ(order, epoch_order(count, 3, 1));
    std::sort(order.begin(), order.end());
    std::vector<std::size_t> all(count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    EXPECT_EQ(order, all);
  }
  EXPECT_NE(epoch_order(1000, 3, 1), epoch_order(1000, 3, 2));
  EXPECT_NE(epoch_order(1000, 3, 1), epoch_order(1000, 4, 1));
  EXPECT_NE(epoch_order(1000, 1, 3), epoch_order(1000, 3, 1));
}

// The same on every machine: the standard fixes seed_seq and mt19937_64.
TEST(EpochOrder, IsTheOneOnRecord) {
  EXPECT_EQ(
      epoch_order(8, 42, 0),
      (std::vector<std::size_t>{7, 2, 4, 5, 1, 0, 3, 6}));
  EXPECT_EQ(
      epoch_order(8, 42, 1),
      (std::vector<std::size_t>{3, 4, 1, 2, 5, 0, 7, 6}));
}

TEST(EpochOrder, EveryPlaceIsAsLikely) {
  // 6 permutations, 6000 draws: 1000 each, standard deviation 29.
  std::map<std::vector<std::size_t>, int> counts;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    ++counts[epoch_order(3, seed, 0)];
  }
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [order, count] : counts) {
    EXPECT_NEAR(count, 1000, 150);
  }
}

TEST(MakeBatch, ShiftsPadsAndWeighs) {
  Dataset data{"x.jsonl", {{{1, 2, 3, 4}, 2, 1}, {{5, 6}, 0, 2}, {{7}, 0, 3}}};
  std::vector<std::size_t> order = {1, 0, 2};
  auto batch = make_batch(data, order, 9);
  EXPECT_EQ(batch.rows, 3);
  EXPECT_EQ(batch.columns, 3);
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(batch.inputs, (Ids{5, 9, 9, 1, 2, 3, 9, 9, 9}));
  EXPECT_EQ(batch.targets, (Ids{6, 9, 9, 2, 3, 4, 9, 9, 9}));
  EXPECT_EQ(batch.weights, (std::vector<float>{1, 0, 0, 0, 1, 1, 0, 0, 0}));
  EXPECT_EQ(batch.target_count, 3);
  order = {3};
  EXPECT_THROW(make_batch(data, order), InputError);
}

} // namespace tessera::tests
