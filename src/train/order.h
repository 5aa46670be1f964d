#pragma once

#include <cstdint>
#include <vector>

#include "tessera/dataset.h"

namespace tessera::train {

struct BatchShape {
  int rows = 1; // at most, of a batch
  // Documents share rows of so many tokens; 0: a document a row.
  std::int32_t packed_columns = 0;
};

// What the batches of an epoch hold, in all and at the most.
struct EpochSize {
  std::int64_t rows = 0;
  std::int64_t tokens = 0; // read to predict the next one
  std::int64_t cells = 0;  // those and padding
  std::int64_t most_rows = 0;
  std::int64_t most_columns = 0;
};

// Which documents make the rows of the k-th batch of a run: a pure function of
// the documents' lengths, the shape, the seed and k.
//
// Each epoch takes every document once. Documents are shuffled, sorted by
// length within windows of 50 batches, so that the rows of a batch need little
// padding, and the batches shuffled again. Packed rows are those of best fit,
// so that documents of one length change places with each other alone; rows are
// shuffled, and then batches. Only the epoch's smallest remainder makes a short
// batch.
class BatchOrder {
 public:
  BatchOrder(const Dataset& data, const BatchShape& shape, std::uint64_t seed);

  std::size_t batches_per_epoch() const;
  const Rows& batch(std::uint64_t k);
  EpochSize size() const; // of the epoch that was asked for last

 private:
  void fill(std::uint64_t epoch);
  Rows rows_of(const std::vector<std::size_t>& documents) const;

  const Dataset& data_;
  BatchShape shape_;
  std::uint64_t seed_;
  std::uint64_t epoch_ = 0;
  std::vector<Rows> batches_; // of epoch_
};

// An independent seed for use number `k` of `seed` (splitmix64, Steele, Lea and
// Flood, 2014).
std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t k);

} // namespace tessera::train
