#pragma once

#include "backend/cpu/tile/product.h"

namespace tessera::cpu {

// The eight tile registers of AMX, each 16 rows of 64 bytes. For as long as one
// lives, its thread may use them (Intel 64 and IA-32 Architectures Software
// Developer's Manual, volume 1, chapter 18).
//
// A product takes 16 cycles, a load or a store of a tile 8 and 16: a block of
// 2 x 2 products loads as many tiles as it multiplies.
class AmxUnit {
 public:
  AmxUnit() {
    struct Configuration {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    alignas(64) const Configuration configuration;
    asm volatile("ldtilecfg %0" ::"m"(configuration));
  }
  ~AmxUnit() {
    asm volatile("tilerelease" ::: "memory");
  }
  AmxUnit(const AmxUnit&) = delete;
  AmxUnit& operator=(const AmxUnit&) = delete;

  template <int tile>
  [[gnu::always_inline]] static void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(tile));
  }
  template <int tile>
  [[gnu::always_inline]] static void load(const float* from, int pitch) {
    asm volatile("tileloadd (%1,%2), %%tmm%c0" ::"i"(tile),
                 "r"(from),
                 "r"(pitch * std::ptrdiff_t{4})
                 : "memory");
  }
  template <int tile>
  [[gnu::always_inline]] static void store(float* to, int pitch) {
    asm volatile("tilestored %%tmm%c0, (%1,%2)" ::"i"(tile),
                 "r"(to),
                 "r"(pitch * std::ptrdiff_t{4})
                 : "memory");
  }
  // sum += left * right: rows of pairs by pairs of rows.
  template <int sum, int left, int right>
  [[gnu::always_inline]] static void multiply() {
    asm volatile(
        "tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(sum),
        "i"(left),
        "i"(right));
  }
};

// A block of `rows` x `columns` matrices of 16 x 16 sums, in the unit: matrix
// (i, j) in tile 2 i + j; 4 and 5 hold the left operand, 6 and 7 the right.
template <int rows, int columns>
struct AmxBlock {
  static_assert(rows <= 2 && columns <= 2);

  static void zero() {
    each([]<int i, int j>() { AmxUnit::zero<2 * i + j>(); });
  }
  static void load(const float* from, int pitch) {
    each([=]<int i, int j>() {
      AmxUnit::load<2 * i + j>(from + 16 * (i * pitch + j), pitch);
    });
  }
  static void store(float* to, int pitch) {
    each([=]<int i, int j>() {
      AmxUnit::store<2 * i + j>(to + 16 * (i * pitch + j), pitch);
    });
  }
  // Adds the product of 16 words. The left operand's second matrix lies `next`
  // behind its first, the right one's beside it.
  static void add(
      const float* left,
      int left_pitch,
      int next,
      const float* right,
      int right_pitch) {
    AmxUnit::load<6>(right, right_pitch);
    if constexpr (columns == 2) {
      AmxUnit::load<7>(right + 16, right_pitch);
    }
    AmxUnit::load<4>(left, left_pitch);
    if constexpr (rows == 2) {
      AmxUnit::load<5>(left + next, left_pitch);
    }
    multiply();
  }
  static void multiply() {
    each([]<int i, int j>() { AmxUnit::multiply<2 * i + j, 4 + i, 6 + j>(); });
  }

 private:
  template <class Body>
  [[gnu::always_inline]] static void each(Body body) {
    body.template operator()<0, 0>();
    if constexpr (columns == 2) {
      body.template operator()<0, 1>();
    }
    if constexpr (rows == 2) {
      body.template operator()<1, 0>();
      if constexpr (columns == 2) {
        body.template operator()<1, 1>();
      }
    }
  }
};

// What Product says, by the matrix unit. Words come 16 at once.
template <class Target>
struct AmxProduct : Registers<Target> {
  using R = Registers<Target>;
  using V = typename R::V;
  using F = typename R::F;
  using Unit = AmxUnit;
  using R::lanes;
  using R::min;
  using R::offset;
  static constexpr int panel = Target::tile.panel();
  static constexpr int sum_panel = Target::tile.sum_panel();
  static constexpr int words_at_once = Target::tile.words;

  template <int n>
  static void scores(
      float* tile,
      const float* left,
      int height,
      const float* right,
      int words,
      Span rows) {
    static_assert(n % 2 == 0);
    by_matrices(rows, [&]<int strips>(int t) {
      using Block = AmxBlock<strips, 2>;
      for (int j = 0; j < n; j += 2) {
        Block::zero();
        for (int w = 0; w < words; w += words_at_once) {
          const float* const keys = left +
              offset(w / sum_panel * height + t, sum_panel) + w % sum_panel;
          Block::add(
              keys,
              sum_panel,
              16 * sum_panel,
              right + offset(w, panel) + j * lanes,
              panel);
        }
        Block::store(tile + offset(t, panel) + j * lanes, panel);
      }
    });
  }

  // left(i, word) as order_pairs leaves it: blocks of 16 queries' 16 words.
  // Words behind the last would be multiplied by 0, and NaN times 0 is NaN: the
  // right operand's last ones are copied to where zeros follow them.
  template <int n>
  static void sum_over_keys(
      float* sums, int rows, const float* left, const float* right, int words) {
    alignas(64) float last[words_at_once * sum_panel];
    const int whole = words / words_at_once * words_at_once;
    if (whole < words) {
      constexpr auto floats = static_cast<std::size_t>(sum_panel);
      const auto copied = static_cast<std::size_t>(words - whole) * floats;
      __builtin_memset(last, 0, sizeof last);
      __builtin_memcpy(
          last, right + offset(whole, sum_panel), copied * sizeof(float));
    }
    by_matrices({0, rows}, [&]<int strips>(int i) {
      using Block = AmxBlock<strips, n>;
      float* const to = sums + offset(i, sum_panel);
      Block::load(to, sum_panel);
      for (int w = 0; w < words; w += words_at_once) {
        Block::add(
            left + offset(w, panel) + i,
            panel,
            lanes,
            w < whole ? right + offset(w, sum_panel) : last,
            sum_panel);
      }
      Block::store(to, sum_panel);
    });
  }

  // [word][query] -> [query][word] in blocks of 16 x 16, each in its place;
  // zeros follow the last word.
  static void order_pairs(float* left, int queries, int words) {
    for (int w = 0; w < words; w += lanes) {
      for (int i = 0; i < queries; i += lanes) {
        float* const block = left + offset(w, panel) + i;
        F rows[lanes];
        for (int k = 0; k < lanes; ++k) {
          rows[k] = w + k < words
              ? V::template load<F>(block + offset(k, panel))
              : F{};
        }
        V::transpose(rows);
        for (int k = 0; k < lanes; ++k) {
          V::store(block + offset(k, panel), rows[k]);
        }
      }
    }
  }

  template <int n, int pitch>
  class SumOverQueries {
   public:
    explicit SumOverQueries(float* sums) : to_(sums) {
      AmxBlock<1, n>::load(to_, sum_panel);
    }
    ~SumOverQueries() {
      AmxBlock<1, n>::store(to_, sum_panel);
    }
    SumOverQueries(const SumOverQueries&) = delete;
    SumOverQueries& operator=(const SumOverQueries&) = delete;

    void add(const float* left, const float* right, int words) {
      for (int w = 0; w < words; w += words_at_once) {
        AmxBlock<1, n>::add(
            left + w, pitch, 0, right + offset(w, sum_panel), sum_panel);
      }
    }

   private:
    float* to_;
  };

  // The vectors of a panel of scores come in pairs, so that a sum over queries
  // has whole products.
  template <int most, class Body>
  static void with_vectors(int count, Body&& body) {
    constexpr int step = most == Target::tile.vectors ? 2 : 1;
    R::template with_vectors<most / step>(
        (count + step - 1) / step,
        [&]<int steps>() { body.template operator()<steps * step>(); });
  }

 private:
  // Calls body.template operator()<2>(row) for each 32 rows, and <1> where only
  // 16 or fewer are left.
  template <class Body>
  [[gnu::always_inline]] static void by_matrices(Span rows, Body body) {
    int row = rows.lo;
    for (; row + 16 < rows.hi; row += 32) {
      body.template operator()<2>(row);
    }
    if (row < rows.hi) {
      body.template operator()<1>(row);
    }
  }
};

// As multiply_add says, by the matrix unit.
inline double amx_multiply_add(int rounds) {
  const AmxUnit unit;
  using Block = AmxBlock<2, 2>;
  Block::zero();
  AmxUnit::zero<4>();
  AmxUnit::zero<5>();
  AmxUnit::zero<6>();
  AmxUnit::zero<7>();
  for (int round = 0; round < rounds; ++round) {
    Block::multiply();
  }
  return 4.0 * 2 * 16 * 16 * 32 * rounds;
}

} // namespace tessera::cpu
