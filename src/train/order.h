#pragma once

#include <cstdint>
#include <vector>

#include "tessera/dataset.h"

namespace tessera::train {

// Which documents make the k-th batch of a run: a pure function of the
// documents' lengths, the batch size, the seed and k.
//
// Each epoch takes every document once. Documents are shuffled, sorted by
// length within windows of 50 batches, so that the rows of a batch need little
// padding, and the batches shuffled again. Only the epoch's smallest remainder
// makes a short batch.
class BatchOrder {
 public:
  BatchOrder(const Dataset& data, int batch_size, std::uint64_t seed);

  std::size_t batches_per_epoch() const;
  const std::vector<std::size_t>& batch(std::uint64_t k);

 private:
  void fill(std::uint64_t epoch);

  std::vector<std::size_t> lengths_;
  std::size_t batch_size_;
  std::uint64_t seed_;
  std::uint64_t epoch_ = 0;
  std::vector<std::vector<std::size_t>> batches_; // of epoch_
};

// An independent seed for use number `k` of `seed` (splitmix64, Steele, Lea and
// Flood, 2014).
std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t k);

} // namespace tessera::train
