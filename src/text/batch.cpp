#include <algorithm>
#include <set>

#include "tessera/dataset.h"
#include "tessera/error.h"

namespace tessera {

std::vector<float> loss_weights(const Document& document) {
  std::vector<float> weights(document.tokens.size(), 1.0f);
  if (!weights.empty()) {
    weights.front() = 0.0f;
  }
  for (const auto& [begin, end] : document.context) {
    std::fill(weights.begin() + begin, weights.begin() + end, 0.0f);
  }
  return weights;
}

std::size_t cells_of(const Dataset& data, std::size_t index) {
  if (index >= data.documents.size()) {
    reject(
        "make_batch",
        "expected documents below {}; got {}",
        data.documents.size(),
        index);
  }
  const auto length = data.documents[index].tokens.size();
  return length > 0 ? length - 1 : 0;
}

std::size_t columns_of(const Dataset& data, const Rows& rows) {
  std::size_t columns = 0;
  for (const auto& row : rows) {
    std::size_t cells = 0;
    for (const auto index : row) {
      cells += cells_of(data, index);
    }
    columns = std::max(columns, cells);
  }
  return columns;
}

namespace {

void add_document(const Document& document, std::size_t cell, Batch& batch) {
  const auto weights = loss_weights(document);
  for (std::size_t t = 0; t + 1 < document.tokens.size(); ++t, ++cell) {
    batch.inputs[cell] = document.tokens[t];
    batch.targets[cell] = document.tokens[t + 1];
    batch.weights[cell] = weights[t + 1];
    batch.target_count += weights[t + 1] != 0;
    ++batch.token_count;
  }
}

// Padding is the segment behind the last document's.
void add_places(
    const Dataset& data,
    const std::vector<std::size_t>& row,
    std::size_t cell,
    Batch& batch) {
  const auto end = cell + static_cast<std::size_t>(batch.columns);
  std::int32_t segment = 0;
  const auto fill = [&](std::size_t cells) {
    for (std::size_t t = 0; t < cells; ++t, ++cell) {
      batch.segments[cell] = segment;
      batch.positions[cell] = static_cast<std::int32_t>(t);
    }
    ++segment;
  };
  for (const auto index : row) {
    fill(cells_of(data, index));
  }
  fill(end - cell);
}

} // namespace

Rows pack(
    const Dataset& data,
    const std::vector<std::size_t>& documents,
    std::int32_t capacity) {
  auto order = documents;
  std::stable_sort(
      order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return cells_of(data, a) > cells_of(data, b);
      });
  Rows rows;
  std::set<std::pair<std::size_t, std::size_t>> room; // of a row, its index
  for (const auto document : order) {
    const auto cells = cells_of(data, document);
    auto at = room.lower_bound({cells, 0});
    if (at == room.end()) {
      if (cells > static_cast<std::size_t>(capacity)) {
        reject(
            "pack",
            "expected documents of at most {} tokens to read; got {}",
            capacity,
            cells);
      }
      rows.emplace_back();
      at = room.emplace(capacity, rows.size() - 1).first;
    }
    const auto [left, row] = *at;
    rows[row].push_back(document);
    room.erase(at);
    room.emplace(left - cells, row);
  }
  return rows;
}

Batch make_batch(const Dataset& data, const Rows& rows, std::int32_t pad_id) {
  const auto columns = columns_of(data, rows);
  const auto cells = rows.size() * columns;
  Batch batch;
  batch.rows = static_cast<std::int32_t>(rows.size());
  batch.columns = static_cast<std::int32_t>(columns);
  batch.inputs.assign(cells, pad_id);
  batch.targets.assign(cells, pad_id);
  batch.weights.assign(cells, 0.0f);
  if (std::any_of(rows.begin(), rows.end(), [](const auto& row) {
        return row.size() > 1;
      })) {
    batch.segments.resize(cells);
    batch.positions.resize(cells);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::size_t cell = i * columns;
    if (!batch.segments.empty()) {
      add_places(data, rows[i], cell, batch);
    }
    for (const auto index : rows[i]) {
      add_document(data.documents[index], cell, batch);
      cell += cells_of(data, index);
    }
  }
  return batch;
}

} // namespace tessera
