#include "train/order.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera::train {

namespace {

constexpr std::size_t window_batches = 50;

// Sets the order of batches apart from that of documents.
constexpr std::uint64_t batch_shuffle = 1;

} // namespace

std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t k) {
  auto mix = [](std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  };
  constexpr std::uint64_t gamma = 0x9e3779b97f4a7c15ULL;
  return mix(mix(seed + gamma) + (k + 1) * gamma);
}

BatchOrder::BatchOrder(const Dataset& data, int batch_size, std::uint64_t seed)
    : batch_size_(static_cast<std::size_t>(batch_size)), seed_(seed) {
  if (data.documents.empty() || batch_size < 1) {
    fail("order", "expected documents and a batch size; got none");
  }
  for (const Document& document : data.documents) {
    lengths_.push_back(document.tokens.size());
  }
  fill(0);
}

std::size_t BatchOrder::batches_per_epoch() const {
  return (lengths_.size() + batch_size_ - 1) / batch_size_;
}

const std::vector<std::size_t>& BatchOrder::batch(std::uint64_t k) {
  std::uint64_t epoch = k / batches_per_epoch();
  if (epoch != epoch_) {
    fill(epoch);
  }
  return batches_[k % batches_per_epoch()];
}

void BatchOrder::fill(std::uint64_t epoch) {
  auto documents = epoch_order(lengths_.size(), seed_, epoch);
  std::size_t window = batch_size_ * window_batches;
  for (std::size_t begin = 0; begin < documents.size(); begin += window) {
    auto first = documents.begin() + static_cast<std::ptrdiff_t>(begin);
    auto last = documents.begin() +
        static_cast<std::ptrdiff_t>(std::min(begin + window, documents.size()));
    std::stable_sort(first, last, [this](std::size_t a, std::size_t b) {
      return lengths_[a] < lengths_[b];
    });
  }
  std::vector<std::vector<std::size_t>> batches(batches_per_epoch());
  for (std::size_t i = 0; i < documents.size(); ++i) {
    batches[i / batch_size_].push_back(documents[i]);
  }
  batches_.clear();
  for (std::size_t i :
       epoch_order(batches.size(), derive_seed(seed_, batch_shuffle), epoch)) {
    batches_.push_back(std::move(batches[i]));
  }
  epoch_ = epoch;
}

} // namespace tessera::train
