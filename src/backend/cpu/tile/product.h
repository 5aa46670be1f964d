#pragma once

#include "backend/cpu/tile/vec.h"

namespace tessera::cpu {

// A block of vectors in registers.
template <class Target>
struct Registers {
  using V = Vec<Target>;
  using F = typename V::F;
  static constexpr int lanes = V::lanes;

  static constexpr int min(int a, int b) {
    return a < b ? a : b;
  }
  static constexpr std::ptrdiff_t offset(int a, int b) {
    return static_cast<std::ptrdiff_t>(a) * b;
  }

  template <int strip, int n>
  [[gnu::always_inline]] static void add_to(
      float* to, int pitch, const F (&sum)[strip][n]) {
    for (int i = 0; i < strip; ++i) {
      for (int j = 0; j < n; ++j) {
        float* const at = to + i * pitch + j * lanes;
        V::store(at, V::template load<F>(at) + sum[i][j]);
      }
    }
  }
  template <int strip, int n>
  [[gnu::always_inline]] static void load(
      F (&sum)[strip][n], const float* from, int pitch) {
    for (int i = 0; i < strip; ++i) {
      for (int j = 0; j < n; ++j) {
        sum[i][j] = V::template load<F>(from + i * pitch + j * lanes);
      }
    }
  }
  template <int strip, int n>
  [[gnu::always_inline]] static void store(
      float* to, int pitch, const F (&sum)[strip][n]) {
    for (int i = 0; i < strip; ++i) {
      for (int j = 0; j < n; ++j) {
        V::store(to + i * pitch + j * lanes, sum[i][j]);
      }
    }
  }

  // Calls body.template operator()<n>() for the vectors that hold `count`
  // lanes, at most `most`.
  template <int most, int n = 1, class Body>
  static void with_vectors(int count, Body&& body) {
    if constexpr (n < most) {
      if (count > n * lanes) {
        return with_vectors<most, n + 1>(count, body);
      }
    }
    body.template operator()<n>();
  }

  // sum[i][j] += a[i * pitch] * b[j].
  template <int strip, int n>
  [[gnu::always_inline]] static void step(
      F (&sum)[strip][n], const float* a, int pitch, const float* b) {
    F right[n];
    for (int j = 0; j < n; ++j) {
      right[j] = V::template load<F>(b + j * lanes);
    }
    for (int i = 0; i < strip; ++i) {
      const F left = V::broadcast_word(a + i * pitch);
      for (int j = 0; j < n; ++j) {
        sum[i][j] = V::add_product(sum[i][j], left, right[j]);
      }
    }
  }
};

// The two kinds of matrix product, on packed operands. Both hold a block of
// accumulators in registers and take, for each word of the contracted axis, a
// few vectors from the right operand and as many broadcast words from the left
// one as the block has rows. A word is a float, or a pair of bfloat16 whose
// products are summed (plan/workspace.h).
template <class Target>
struct Product : Registers<Target> {
  using R = Registers<Target>;
  using R::lanes;
  using R::min;
  using R::offset;
  using typename R::F;
  using typename R::V;
  static constexpr int panel = Target::tile.panel();
  static constexpr int sum_panel = Target::tile.sum_panel();

  // tile[t][j] = sum over words of left[t][word] * right[word][j] for t from
  // rows.lo on, in whole register tiles. left: rows form of `height` rows;
  // right: one panel of the lanes form; n vectors of its lanes are computed.
  template <int n>
  static void scores(
      float* tile,
      const float* left,
      int height,
      const float* right,
      int words,
      Span rows) {
    constexpr int strip = Target::tile.rows;
    for (int t = rows.lo; t < rows.hi; t += strip) {
      F sum[strip][n] = {};
      for (int w = 0; w < words; w += sum_panel) {
        const float* a = left + offset(w / sum_panel * height + t, sum_panel);
        const float* b = right + offset(w, panel);
        for (int k = min(words - w, sum_panel); k > 0; --k) {
          R::template step<strip, n>(sum, a, sum_panel, b);
          a += 1;
          b += panel;
        }
      }
      R::store(tile + offset(t, panel), panel, sum);
    }
  }

  // sums[i][j] += sum over words of left(i, word) * right[word][j] for `rows`
  // rows, rounded up to whole register tiles; one panel of features of n
  // vectors. left(i, word) = left[i + word * panel]: rows are queries, and the
  // sum runs over keys. A call's part is added up apart, since one chain of
  // additions over all keys loses more.
  template <int n>
  static void sum_over_keys(
      float* sums, int rows, const float* left, const float* right, int words) {
    constexpr int strip = Target::tile.sum_rows;
    for (int i = 0; i < rows; i += strip) {
      float* const to = sums + offset(i, sum_panel);
      F sum[strip][n] = {};
      const float* a = left + i;
      const float* b = right;
      for (int k = words; k > 0; --k) {
        R::template step<strip, n>(sum, a, 1, b);
        a += panel;
        b += sum_panel;
      }
      R::add_to(to, sum_panel, sum);
    }
  }

  // The same for one register tile of keys, and the sum over queries: left(i,
  // word) = left[i * pitch + word], `pitch` known at compile time.
  template <int n, int pitch>
  class SumOverQueries {
   public:
    explicit SumOverQueries(float* sums) : to_(sums) {}
    ~SumOverQueries() {
      R::add_to(to_, sum_panel, sum_);
    }
    SumOverQueries(const SumOverQueries&) = delete;
    SumOverQueries& operator=(const SumOverQueries&) = delete;

    void add(const float* left, const float* right, int words) {
      for (int k = words; k > 0; --k) {
        R::template step<Target::tile.sum_rows, n>(sum_, left, pitch, right);
        left += 1;
        right += sum_panel;
      }
    }

   private:
    float* to_;
    F sum_[Target::tile.sum_rows][n] = {};
  };

  // What a processor must be told before products, for as long as they last.
  struct Unit {};

  // Words of pairs of keys as sum_over_keys reads them.
  static void order_pairs(float* /*left*/, int /*queries*/, int /*words*/) {}
};

} // namespace tessera::cpu
