#pragma once

#include "backend/cpu/rows.h"
#include "backend/cpu/tile/product.h"

namespace tessera::cpu {

// Copies operands into the forms that the products read (plan/workspace.h),
// converting their dtype and gathering their strides, so that no other code
// knows of either. Zeros follow the last row, word and feature.
template <class Target>
struct Pack {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  static constexpr int lanes = V::lanes;
  static constexpr bool pairs = Target::values_per_word == 2;

  static constexpr int words(int values) {
    return (values + Target::values_per_word - 1) / Target::values_per_word;
  }

  // -> [panel of words][height][sum_panel], `spare` rows of zeros behind.
  static void rows(
      float* to,
      int height,
      const View& view,
      const Rows& at,
      int features,
      int spare) {
    constexpr int W = X::sum_panel;
    const int wide = words(features);
    for (int r = 0; r < at.span.size() + spare; ++r) {
      const bool real = r < at.span.size();
      const Row row =
          real ? view.row(at.batch, at.head, at.span.lo + r) : Row{};
      for (int w = 0; w < wide; w += lanes) {
        const F v =
            real ? load(row, w, X::min(wide - w, lanes), features) : F{};
        V::store(to + X::offset(w / W * height + r, W) + w % W, v);
      }
    }
  }

  // -> [panel of features][height][sum_panel], `spare` words of zeros behind.
  static void features(
      float* to,
      int height,
      const View& view,
      const Rows& at,
      int features,
      int spare) {
    if constexpr (!pairs) {
      rows(to, height, view, at, features, spare);
    } else {
      constexpr int W = X::sum_panel;
      const int count = at.span.size();
      for (int w = 0; w < words(count) + spare; ++w) {
        const auto row = [&](int r) {
          return view.row(at.batch, at.head, at.span.lo + r);
        };
        const bool both = 2 * w + 1 < count;
        for (int f = 0; f < features; f += lanes) {
          const int n = X::min(features - f, lanes);
          F v = {};
          if (both) {
            v = V::load_interleaved(row(2 * w), row(2 * w + 1), f, n);
          } else if (2 * w < count) {
            v = (F)V::load_bits(row(2 * w), f, n);
          }
          V::store(to + X::offset(f / W * height + w, W) + f % W, v);
        }
      }
    }
  }

  // -> [panel of rows][words][panel], times `factor` where a word is a float.
  static void lanes_form(
      float* to, const View& view, const Rows& at, int features, float factor) {
    const int wide = words(features);
    const int count = at.span.size();
    for (int r = 0; r < round_up(count, X::panel); r += lanes) {
      float* const panel =
          to + X::offset(r / X::panel * wide, X::panel) + r % X::panel;
      for (int w = 0; w < wide; w += lanes) {
        F block[lanes];
        const int n = X::min(wide - w, lanes);
        for (int i = 0; i < lanes; ++i) {
          block[i] = r + i < count
              ? load(
                    view.row(at.batch, at.head, at.span.lo + r + i),
                    w,
                    n,
                    features)
              : F{};
          if constexpr (!pairs) {
            block[i] *= factor;
          }
        }
        V::transpose(block);
        for (int i = 0; i < n; ++i) {
          V::store(panel + X::offset(w + i, X::panel), block[i]);
        }
      }
    }
  }

 private:
  static F load(const Row& row, int word, int count, int features) {
    if constexpr (pairs) {
      return V::load_pairs(row, word, count, features);
    } else {
      return V::load_features(row, word, count);
    }
  }
};

} // namespace tessera::cpu
