#include "train/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace tessera::train {

namespace {

Dataset documents(std::size_t count) {
  Dataset data;
  for (std::size_t i = 0; i < count; ++i) {
    data.documents.push_back({TokenIds(2 + i * 7 % 97, 1), {}, 1});
  }
  return data;
}

// The documents of each batch.
std::vector<std::vector<std::size_t>> epoch(
    BatchOrder& order, std::uint64_t number) {
  std::vector<std::vector<std::size_t>> batches;
  std::uint64_t n = order.batches_per_epoch();
  for (std::uint64_t k = number * n; k < (number + 1) * n; ++k) {
    batches.emplace_back();
    for (const auto& row : order.batch(k)) {
      batches.back().insert(batches.back().end(), row.begin(), row.end());
    }
  }
  return batches;
}

TEST(BatchOrder, TakesEachDocumentOnceAnEpoch) {
  Dataset data = documents(1003);
  BatchOrder order(data, {8, 0}, 3);
  EXPECT_EQ(order.batches_per_epoch(), 126u);
  for (std::uint64_t number : {0, 1, 5}) {
    std::set<std::size_t> seen;
    std::size_t short_batches = 0;
    for (const auto& batch : epoch(order, number)) {
      seen.insert(batch.begin(), batch.end());
      short_batches += batch.size() < 8;
    }
    EXPECT_EQ(seen.size(), 1003u);
    EXPECT_EQ(short_batches, 1u);
  }
}

TEST(BatchOrder, IsAFunctionOfSeedAndPosition) {
  Dataset data = documents(100);
  BatchOrder order(data, {4, 0}, 7);
  BatchOrder same(data, {4, 0}, 7);
  BatchOrder other(data, {4, 0}, 8);
  auto later = epoch(order, 2);
  EXPECT_EQ(epoch(same, 0), epoch(order, 0));
  EXPECT_EQ(epoch(same, 2), later);
  EXPECT_NE(epoch(other, 2), later);
  EXPECT_NE(epoch(same, 1), later);
}

TEST(BatchOrder, MixesPackedRowsAnewEachEpoch) {
  const Dataset data = documents(300);
  BatchOrder order(data, {2, 128}, 3);
  std::set<std::vector<std::vector<std::size_t>>> epochs;
  for (std::uint64_t number = 0; number < 5; ++number) {
    const auto batches = epoch(order, number);
    std::multiset<std::size_t> seen;
    std::size_t short_batches = 0;
    for (std::size_t k = 0; k < batches.size(); ++k) {
      seen.insert(batches[k].begin(), batches[k].end());
      const auto& rows = order.batch(number * batches.size() + k);
      short_batches += rows.size() < 2;
    }
    EXPECT_EQ(seen.size(), 300u);
    EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), 300u);
    EXPECT_LE(short_batches, 1u);
    epochs.insert(batches);
  }
  EXPECT_EQ(epochs.size(), 5u);
  // A resumed run begins in the middle of an epoch.
  BatchOrder later(data, {2, 128}, 3);
  for (std::uint64_t k : {0, 101, 7, 250}) {
    EXPECT_EQ(later.batch(k), order.batch(k)) << k;
  }
}

// Of few rows every order comes up: two shuffles by one seed would give some of
// them never.
TEST(BatchOrder, GivesFewPackedRowsEveryOrder) {
  Dataset data;
  for (const std::size_t tokens : {65, 64, 63}) { // a row each
    data.documents.push_back({TokenIds(tokens, 1), {}, 1});
  }
  for (const int rows : {1, 2}) {
    BatchOrder order(data, {rows, 64}, 7);
    std::set<std::vector<std::vector<std::size_t>>> orders;
    for (std::uint64_t number = 0; number < 200; ++number) {
      orders.insert(epoch(order, number));
    }
    // Three rows in a line; or a pair, in its order, before or behind the
    // third.
    EXPECT_EQ(orders.size(), rows == 1 ? 6u : 12u);
  }
}

TEST(BatchOrder, PutsDocumentsOfLikeLengthTogether) {
  Dataset data = documents(800);
  BatchOrder order(data, {8, 0}, 0);
  std::size_t tokens = 0;
  std::size_t padded = 0;
  for (const auto& batch : epoch(order, 0)) {
    std::size_t longest = 0;
    for (std::size_t i : batch) {
      tokens += data.documents[i].tokens.size();
      longest = std::max(longest, data.documents[i].tokens.size());
    }
    padded += longest * batch.size();
  }
  EXPECT_LT(double(padded), 1.05 * double(tokens));
}

TEST(BatchOrder, DoesNotGoFromShortToLong) {
  Dataset data = documents(800);
  BatchOrder order(data, {8, 0}, 0);
  std::vector<std::size_t> lengths;
  for (const auto& batch : epoch(order, 0)) {
    lengths.push_back(data.documents[batch[0]].tokens.size());
  }
  EXPECT_FALSE(std::is_sorted(lengths.begin(), lengths.end()));
}

TEST(DeriveSeed, SetsUsesApart) {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t seed : {0, 1, 2}) {
    for (std::uint64_t k = 0; k < 1000; ++k) {
      seeds.insert(derive_seed(seed, k));
    }
  }
  EXPECT_EQ(seeds.size(), 3000u);
}

} // namespace

} // namespace tessera::train
