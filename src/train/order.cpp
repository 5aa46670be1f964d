#include "train/order.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera::train {

namespace {

constexpr std::size_t window_batches = 50;

// Set the orders of batches and of packed rows apart from that of documents,
// and from each other: one permutation applied twice leaves two rows, or a
// batch a row, as they were. 2 is dropout's.
constexpr std::uint64_t batch_shuffle = 1;
constexpr std::uint64_t row_shuffle = 3;

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

BatchOrder::BatchOrder(
    const Dataset& data, const BatchShape& shape, std::uint64_t seed)
    : data_(data), shape_(shape), seed_(seed) {
  if (data.documents.empty() || shape.rows < 1) {
    fail("order", "expected documents and a batch size; got none");
  }
  fill(0);
}

std::size_t BatchOrder::batches_per_epoch() const {
  return batches_.size();
}

const Rows& BatchOrder::batch(std::uint64_t k) {
  const std::uint64_t epoch = k / batches_per_epoch();
  if (epoch != epoch_) {
    fill(epoch);
  }
  return batches_[k % batches_per_epoch()];
}

EpochSize BatchOrder::size() const {
  EpochSize size;
  for (const Rows& rows : batches_) {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto columns = static_cast<std::int64_t>(columns_of(data_, rows));
    size.rows += count;
    size.cells += count * columns;
    size.most_rows = std::max(size.most_rows, count);
    size.most_columns = std::max(size.most_columns, columns);
  }
  for (std::size_t i = 0; i < data_.documents.size(); ++i) {
    size.tokens += static_cast<std::int64_t>(cells_of(data_, i));
  }
  return size;
}

// A document a row, those of like length near each other.
Rows BatchOrder::rows_of(const std::vector<std::size_t>& documents) const {
  auto sorted = documents;
  const auto window = static_cast<std::size_t>(shape_.rows) * window_batches;
  for (std::size_t begin = 0; begin < sorted.size(); begin += window) {
    const auto first = sorted.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = sorted.begin() +
        static_cast<std::ptrdiff_t>(std::min(begin + window, sorted.size()));
    std::stable_sort(first, last, [this](std::size_t a, std::size_t b) {
      return data_.documents[a].tokens.size() <
          data_.documents[b].tokens.size();
    });
  }
  Rows rows;
  for (const std::size_t document : sorted) {
    rows.push_back({document});
  }
  return rows;
}

void BatchOrder::fill(std::uint64_t epoch) {
  const auto documents = epoch_order(data_.documents.size(), seed_, epoch);
  Rows rows;
  if (shape_.packed_columns > 0) {
    const Rows packed = pack(data_, documents, shape_.packed_columns);
    const auto seed = derive_seed(seed_, row_shuffle);
    for (const std::size_t i : epoch_order(packed.size(), seed, epoch)) {
      rows.push_back(packed[i]);
    }
  } else {
    rows = rows_of(documents);
  }
  const auto size = static_cast<std::size_t>(shape_.rows);
  std::vector<Rows> batches((rows.size() + size - 1) / size);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    batches[i / size].push_back(std::move(rows[i]));
  }
  batches_.clear();
  const auto seed = derive_seed(seed_, batch_shuffle);
  for (const std::size_t i : epoch_order(batches.size(), seed, epoch)) {
    batches_.push_back(std::move(batches[i]));
  }
  epoch_ = epoch;
}

} // namespace tessera::train
