#pragma once

#include "backend/cpu/tile/vec.h"

namespace tessera::cpu {

// Packed operands, all in panels as wide as the register tile, and the two
// matrix products on them. Widths in vectors are template arguments, since the
// last panel may be narrower.
template <class Target>
struct Panel {
  using V = Vec<Target>;
  using F = typename V::F;
  static constexpr int lanes = V::lanes;
  static constexpr int strip = Target::tile.rows;
  static constexpr int vectors = Target::tile.vectors;
  static constexpr int width = Target::tile.width();

  static constexpr int min(int a, int b) {
    return a < b ? a : b;
  }
  // Vectors that hold `count` values, at most a panel's.
  static constexpr int vectors_for(int count) {
    return min((count + lanes - 1) / lanes, vectors);
  }
  static constexpr std::ptrdiff_t offset(int a, int b) {
    return static_cast<std::ptrdiff_t>(a) * b;
  }

  // Calls body.template operator()<n>() for n = count, 1 <= count <= vectors.
  template <int n = 1, class Body>
  static void with_vectors(int count, Body&& body) {
    if constexpr (n < vectors) {
      if (count > n) {
        return with_vectors<n + 1>(count, body);
      }
    }
    body.template operator()<n>();
  }

  // Rows of an operand of one batch entry and head, times `factor`, one behind
  // the other -> [panel of features][height][width]. `strip` rows of zeros
  // follow the last.
  static void pack(
      float* to,
      int height,
      const View& view,
      const Item& at,
      int features,
      float factor = 1.0f) {
    for (int r = 0; r < at.rows.size() + strip; ++r) {
      const bool real = r < at.rows.size();
      const Row row =
          view.row(at.batch, at.head, real ? at.rows.lo + r : at.rows.lo);
      for (int f = 0; f < features; f += lanes) {
        const F v = real
            ? V::load_features(row, f, min(features - f, lanes)) * factor
            : F{};
        V::store(to + offset(f / width * height + r, width) + f % width, v);
      }
    }
  }

  // The same rows -> [panel of rows][feature][width], zeros behind the last.
  static void pack_transposed(
      float* to,
      const View& view,
      const Item& at,
      int features,
      float factor = 1.0f) {
    const int count = at.rows.size();
    for (int r = 0; r < round_up(count, width); ++r) {
      float* const column =
          to + offset(r / width * features, width) + r % width;
      const Row row =
          view.row(at.batch, at.head, at.rows.lo + min(r, count - 1));
      for (int f = 0; f < features; f += lanes) {
        const int n = min(features - f, lanes);
        const F v = r < count ? V::load_features(row, f, n) * factor : F{};
        for (int i = 0; i < n; ++i) {
          column[offset(f + i, width)] = v[i];
        }
      }
    }
  }

  // tile[t][j] = sum over features of A[t][f] * B[f][j], for t from lo to hi
  // (up to strip - 1 rows more are written); A is packed, B is one panel of a
  // transposed operand.
  template <int n>
  static void multiply(
      float* tile,
      const float* A,
      int height,
      const float* B,
      int features,
      Span rows) {
    for (int t = rows.lo; t < rows.hi; t += strip) {
      F sum[strip][n] = {};
      for (int f = 0; f < features; f += width) {
        const float* a = A + offset(f / width * height + t, width);
        const float* b = B + offset(f, width);
        const int end = min(features - f, width);
        for (int k = 0; k < end; ++k, ++a, b += width) {
          step<n, width>(sum, a, b);
        }
      }
      for (int i = 0; i < strip; ++i) {
        for (int j = 0; j < n; ++j) {
          V::store(tile + offset(t + i, width) + j * lanes, sum[i][j]);
        }
      }
    }
  }

  // C[i][j] += sum over t from lo to hi of tile[t][i] * B[t][j], for i below
  // `count` rounded up to the strip; B and C are one panel of features each.
  template <int n>
  static void accumulate(
      float* C, int count, const float* tile, const float* B, Span rows) {
    for (int i0 = 0; i0 < count; i0 += strip) {
      F sum[strip][n];
      for (int i = 0; i < strip; ++i) {
        for (int j = 0; j < n; ++j) {
          sum[i][j] =
              V::template load<F>(C + offset(i0 + i, width) + j * lanes);
        }
      }
      const float* a = tile + offset(rows.lo, width) + i0;
      const float* b = B + offset(rows.lo, width);
      for (int t = rows.lo; t < rows.hi; ++t, a += width, b += width) {
        step<n, 1>(sum, a, b);
      }
      for (int i = 0; i < strip; ++i) {
        for (int j = 0; j < n; ++j) {
          V::store(C + offset(i0 + i, width) + j * lanes, sum[i][j]);
        }
      }
    }
  }

 private:
  // sum[i][j] += a[i * stride] * b[j], i over the strip, j over n vectors.
  template <int n, int stride>
  [[gnu::always_inline]] static void step(
      F (&sum)[strip][n], const float* a, const float* b) {
    F right[n];
    for (int j = 0; j < n; ++j) {
      right[j] = V::template load<F>(b + j * lanes);
    }
    for (int i = 0; i < strip; ++i) {
      const F left = V::broadcast(a[i * stride]);
      for (int j = 0; j < n; ++j) {
        sum[i][j] += left * right[j];
      }
    }
  }
};

} // namespace tessera::cpu
