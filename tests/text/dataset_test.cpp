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
  std::vector<Document> expected = {{{0, 5, 6}, {}, 1}, {{0, 4, 2, 6}, {}, 3}};
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
  ASSERT_EQ(masked[0].context.size(), 1u);
  EXPECT_EQ(masked[0].context[0].begin, 0);
  auto length = static_cast<std::size_t>(masked[0].context[0].end);
  ASSERT_GT(length, 0u);
  ASSERT_LT(length, masked[0].tokens.size());
  EXPECT_TRUE(std::equal(
      prompt.begin(),
      prompt.begin() + std::ptrdiff_t(length),
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

// Split: every token but the first is predicted once, from the same tokens of
// its piece; the prompt stays context. Truncated: what is left out is counted.
TEST_F(DatasetTest, LongDocumentsAreSplitOrTruncatedWhenAsked) {
  // 0 4 2 4 2 4 2 4 2 6, of which 0 4 2 4 2 is the prompt
  const std::string text =
      "{\"prompt\": \"b b\", \"completion\": \" b b\"}\n"
      "{\"prompt\": \"b\", \"completion\": \"\"}\n";
  options.mask_prompt = true;
  options.max_seq_length = 4;
  options.long_documents = LongDocuments::split;
  auto data = read("a.jsonl", text);
  std::vector<Document> pieces = {
      {{0, 4, 2, 4}, {{0, 4}}, 1},
      {{4, 2, 4, 2}, {{0, 2}}, 1},
      {{2, 4, 2, 6}, {}, 1}};
  data.documents.resize(3);
  EXPECT_EQ(data.documents, pieces);
  EXPECT_EQ(data.long_documents, 1u);
  EXPECT_EQ(data.cut_tokens, 0);

  options.long_documents = LongDocuments::truncate;
  data = read("a.jsonl", text);
  EXPECT_EQ(data.documents.size(), 2u);
  EXPECT_EQ(data.documents[0], pieces[0]);
  EXPECT_EQ(data.long_documents, 1u);
  EXPECT_EQ(data.cut_tokens, 6);
}

TEST_F(DatasetTest, DocumentsWithoutATokenToPredictAreKept) {
  options.eos_id = std::nullopt;
  auto short_ones = read("a.jsonl", "{\"text\": \"\"}\n{\"text\": \"ab\"}");
  std::vector<Document> expected = {{{0}, {}, 1}, {{0, 5}, {}, 2}};
  EXPECT_EQ(short_ones.documents, expected);
  options.mask_prompt = true;
  auto masked = read("a.jsonl", R"({"prompt": "a b", "completion": ""})");
  EXPECT_EQ(make_batch(masked, {{0}}).target_count, 0);
  auto batch = make_batch(short_ones, {{0}});
  EXPECT_EQ(batch.columns, 0);
  EXPECT_EQ(batch.target_count, 0);
}

TEST_F(DatasetTest, PlainTextIsCutIntoRowsThatOverlapByOne) {
  options.max_seq_length = 3;
  // 0 4 1 4 1 4 1 6
  auto rows = read("a.txt", "a a a").documents;
  std::vector<Document> expected = {
      {{0, 4, 1}, {}, 1},
      {{1, 4, 1}, {}, 2},
      {{1, 4, 1}, {}, 3},
      {{1, 6}, {}, 4}};
  EXPECT_EQ(rows, expected);
  options.max_seq_length = 0;
  EXPECT_EQ(
      read("a.txt", "a a a").documents,
      (std::vector<Document>{{{0, 4, 1, 4, 1, 4, 1, 6}, {}, 1}}));
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
  Dataset data{
      "x.jsonl", {{{1, 2, 3, 4}, {{0, 2}}, 1}, {{5, 6}, {}, 2}, {{7}, {}, 3}}};
  auto batch = make_batch(data, {{1}, {0}, {2}}, 9);
  EXPECT_EQ(batch.rows, 3);
  EXPECT_EQ(batch.columns, 3);
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(batch.inputs, (Ids{5, 9, 9, 1, 2, 3, 9, 9, 9}));
  EXPECT_EQ(batch.targets, (Ids{6, 9, 9, 2, 3, 4, 9, 9, 9}));
  EXPECT_EQ(batch.weights, (std::vector<float>{1, 0, 0, 0, 1, 1, 0, 0, 0}));
  EXPECT_EQ(batch.target_count, 3);
  EXPECT_EQ(batch.token_count, 4);
  EXPECT_TRUE(batch.segments.empty());
  EXPECT_TRUE(batch.positions.empty());
  EXPECT_THROW(make_batch(data, {{3}}), InputError);
}

// Documents side by side: none predicts the first token of the next, positions
// begin anew, and padding is of no document.
TEST(MakeBatch, PutsDocumentsSideBySide) {
  Dataset data{
      "x.jsonl", {{{1, 2, 3, 4}, {{0, 2}}, 1}, {{5, 6}, {}, 2}, {{7}, {}, 3}}};
  const auto batch = make_batch(data, {{1, 0}, {2, 1}}, 9);
  EXPECT_EQ(batch.rows, 2);
  EXPECT_EQ(batch.columns, 4);
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(batch.inputs, (Ids{5, 1, 2, 3, 5, 9, 9, 9}));
  EXPECT_EQ(batch.targets, (Ids{6, 2, 3, 4, 6, 9, 9, 9}));
  EXPECT_EQ(batch.weights, (std::vector<float>{1, 0, 1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(batch.segments, (Ids{0, 1, 1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(batch.positions, (Ids{0, 0, 1, 2, 0, 0, 1, 2}));
  EXPECT_EQ(batch.target_count, 4);
  EXPECT_EQ(batch.token_count, 5);
}

Dataset documents_of(const std::vector<std::size_t>& lengths) {
  Dataset data;
  for (const auto length : lengths) {
    data.documents.push_back({TokenIds(length, 1), {}, 1});
  }
  return data;
}

TEST(Pack, FillsRowsWithoutCutting) {
  std::vector<std::size_t> lengths;
  for (std::size_t i = 0; i < 2000; ++i) {
    lengths.push_back(2 + i * i % 191);
  }
  const auto data = documents_of(lengths);
  std::size_t rows_before = 0;
  for (std::uint64_t epoch : {0, 1}) {
    const auto rows = pack(data, epoch_order(2000, 5, epoch), 256);
    std::vector<int> seen(2000);
    std::size_t tokens = 0;
    for (const auto& row : rows) {
      std::size_t cells = 0;
      for (const auto document : row) {
        cells += lengths[document] - 1;
        ++seen[document];
      }
      EXPECT_LE(cells, 256u);
      tokens += cells;
    }
    EXPECT_EQ(seen, std::vector<int>(2000, 1));
    EXPECT_GT(double(tokens), 0.99 * 256 * double(rows.size()));
    EXPECT_TRUE(epoch == 0 || rows.size() == rows_before);
    rows_before = rows.size();
  }
}

// 4 4 3 3 2 in rows of 8: best fit, decreasing, needs two; next fit three.
TEST(Pack, TakesTheFullestRowThatHasRoom) {
  const auto data = documents_of({3, 4, 5, 4, 5});
  EXPECT_EQ(pack(data, {0, 1, 2, 3, 4}, 8), (Rows{{2, 4}, {1, 3, 0}}));
}

TEST(Pack, RefusesWhatFitsNoRow) {
  EXPECT_THROW(pack(documents_of({10}), {0}, 8), InputError);
}

} // namespace tessera::tests
