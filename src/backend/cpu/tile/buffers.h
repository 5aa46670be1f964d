#pragma once

#include "backend/cpu/cover.h"
#include "backend/cpu/tile/pack.h"

namespace tessera::cpu {

// A panel of queries against a run of packed keys: lanes are the queries
// `rows`, tile row t is key `packed.lo + t`. Rounding up to whole register
// tiles, `t` may end behind the last packed key: what is computed there belongs
// to no key, whether one of that number exists or not.
struct Tile {
  int batch = 0;
  int head = 0; // of queries
  Span rows;
  Span packed;
  Span t;

  // The keys of `t`.
  Span keys() const {
    return intersect({packed.lo + t.lo, packed.lo + t.hi}, packed);
  }
};

// What scores are multiplied by on their way: Q when it is packed, the tile
// where a feature changes scores, and the exponent of 2.
struct Factors {
  float packed = 1.0f;
  float tile = 1.0f;
  float exponent = 1.0f;
};

// bfloat16 words must stay as they are, so that their factor comes later. There
// a scale below 0 would turn the largest score into the least.
template <class Target>
Factors factors_of(const Task& task) {
  constexpr bool pairs = Target::values_per_word == 2;
  constexpr float log2e = Vec<Target>::log2e;
  const float scale = task.numbers.scale;
  const bool plain = !task.problem.features.change_scores();
  if (!pairs) {
    return plain ? Factors{scale * log2e, 1.0f, 1.0f}
                 : Factors{scale, 1.0f, log2e};
  }
  return plain && scale > 0 ? Factors{1.0f, 1.0f, scale * log2e}
                            : Factors{1.0f, scale, log2e};
}

// The buffers of one thread, and the products on them.
template <class Target>
struct Buffers {
  using X = Product<Target>;
  using V = typename X::V;
  using F = typename X::F;
  using Packer = Pack<Target>;
  static constexpr bool pairs = Packer::pairs;
  static constexpr int P = X::panel;
  static constexpr int W = X::sum_panel;
  static constexpr int spare = Target::tile.sum_rows;

  Buffers(const Task& task, const Workspace& workspace, float* memory)
      : size(workspace),
        factors(factors_of<Target>(task)),
        columns_height(workspace.columns + spare),
        column_words_height(Packer::words(workspace.columns) + spare),
        row_words_height(Packer::words(workspace.rows) + spare),
        memory_(memory) {}

  float* at(std::size_t offset) const {
    return memory_ + offset;
  }
  float* statistic(int index) const {
    return memory_ + size.statistics + X::offset(index, size.statistics_length);
  }
  // A tile of panel p, where each has its own.
  float* tile(std::size_t first, int p) const {
    return memory_ + first + X::offset(p, size.tile_words);
  }
  float* pair_tile(std::size_t first, int p) const {
    return memory_ + first + X::offset(p, size.tile_words / 2);
  }

  // tile = rows form times panel p of the lanes form.
  template <int n>
  void scores(
      float* tile,
      std::size_t rows_form,
      std::size_t lanes_form,
      int words,
      int p,
      Span t) const {
    X::template scores<n>(
        tile,
        at(rows_form),
        columns_height,
        at(lanes_form) + X::offset(p * words, P),
        words,
        t);
  }

  // The sums of the queries of panel p over the keys t of a packed tile.
  // `left` holds the words of the tile, and is spent; `right` the features form
  // of the keys.
  void sum_over_keys(
      std::size_t sums,
      float* left,
      std::size_t right,
      int features,
      int p,
      int queries,
      Span t) const {
    const int first = t.lo / Target::values_per_word;
    const int count = Packer::words(t.hi) - first;
    X::order_pairs(left + X::offset(first, P), queries, count);
    for (int f = 0; f < features; f += W) {
      float* const to = at(sums) + X::offset(f / W * size.rows + p * P, W);
      const float* const from =
          at(right) + X::offset(f / W * column_words_height + first, W);
      X::template with_vectors<Target::tile.sum_vectors>(
          features - f, [&]<int n>() {
            X::template sum_over_keys<n>(
                to, queries, left + X::offset(first, P), from, count);
          });
    }
  }

  void clear(std::size_t sums, int rows, int features) const {
    const auto floats = X::offset(rows, round_up(features, W));
    __builtin_memset(
        at(sums), 0, static_cast<std::size_t>(floats) * sizeof(float));
  }

  // Row r of a sum of `height` rows, times factor, into the row of an output.
  void write(
      const Row& to,
      std::size_t sums,
      int height,
      int features,
      int r,
      float factor) const {
    for (int f = 0; f < features; f += X::lanes) {
      const float* from = at(sums) + X::offset(f / W * height + r, W) + f % W;
      V::store_features(
          to,
          f,
          X::min(features - f, X::lanes),
          V::template load<F>(from) * factor);
    }
  }

  const Workspace& size;
  Factors factors;
  int columns_height;      // rows of a packed rows form of keys
  int column_words_height; // words of a packed features form of keys
  int row_words_height;    // the same of queries

 private:
  [[no_unique_address]] typename X::Unit unit_;
  float* memory_;
};

} // namespace tessera::cpu
