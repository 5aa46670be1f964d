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
  // In whole products.
  static constexpr int product_words(int values) {
    return round_up(words(values), Target::tile.words);
  }

  // Asks for part `index` of `parts` of some rows, so that they are near when
  // they are to be copied: the way from memory, 300 cycles, is longer than a
  // core can wait for with 16 lines on their way.
  static void prefetch(
      const View& view, const Rows& at, int features, int index, int parts) {
    const int share = (at.span.size() + parts - 1) / parts;
    const Span mine = intersect(
        at.span,
        {at.span.lo + index * share, at.span.lo + (index + 1) * share});
    const auto bytes =
        features * static_cast<std::int64_t>(size_of(view.dtype));
    for (int r = mine.lo; view.strides[3] == 1 && r < mine.hi; ++r) {
      const auto* from =
          static_cast<const std::byte*>(view.row(at.batch, at.head, r).data);
      for (std::int64_t line = 0; line < bytes; line += 64) {
        __builtin_prefetch(from + line, 0, 2);
      }
    }
  }

  // -> [panel of words][height][sum_panel], `spare` rows of zeros behind.
  static void rows(
      float* to,
      int height,
      const View& view,
      const Rows& at,
      int features,
      int spare) {
    const int wide = words(features);
    for (int r = 0; r < at.span.size(); ++r) {
      const Row row = view.row(at.batch, at.head, at.span.lo + r);
      const auto put = [=](int w, F v) {
        V::store(place(to, height, r, w), v);
      };
      if constexpr (pairs) {
        for (int w = 0; w < wide; w += lanes) {
          put(w, V::load_pairs(row, w, X::min(wide - w, lanes), features));
        }
      } else {
        V::each_vector(row, features, put);
      }
    }
    for (int r = at.span.size(); r < at.span.size() + spare; ++r) {
      for (int w = 0; w < wide; w += lanes) {
        V::store(place(to, height, r, w), F{});
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
          V::store(place(to, height, w, f), v);
        }
      }
    }
  }

  // -> [panel of rows][words][panel], times `factor` where a word is a float.
  static void lanes_form(
      float* to, const View& view, const Rows& at, int features, float factor) {
    const int wide = product_words(features);
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
                    X::min(words(features) - w, n),
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
  static float* place(float* to, int height, int row, int word) {
    constexpr int W = X::sum_panel;
    return to + X::offset(word / W * height + row, W) + word % W;
  }

  static F load(const Row& row, int word, int count, int features) {
    if constexpr (pairs) {
      return V::load_pairs(row, word, count, features);
    } else {
      return V::load_features(row, word, count);
    }
  }
};

} // namespace tessera::cpu
