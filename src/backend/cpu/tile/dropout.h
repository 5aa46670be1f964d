#pragma once

#include "backend/cpu/tile/buffers.h"

namespace tessera::cpu {

// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// 2011, section 3.4), a counter a lane.
template <class Target>
struct Philox {
  using V = Vec<Target>;
  using U = typename V::U;
  using Wide = typename V::Wide;

  struct Words {
    U word[4];
  };

  static Words draw(Words c, std::uint32_t key0, std::uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
      const Wide p0 = __builtin_convertvector(c.word[0], Wide) * 0xD2511F53u;
      const Wide p1 = __builtin_convertvector(c.word[2], Wide) * 0xCD9E8D57u;
      c = {
          {high(p1) ^ c.word[1] ^ key0,
           low(p1),
           high(p0) ^ c.word[3] ^ key1,
           low(p0)}};
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    return c;
  }

 private:
  static U high(Wide x) {
    return __builtin_convertvector(x >> 32, U);
  }
  static U low(Wide x) {
    return __builtin_convertvector(x & 0xffffffffu, U);
  }
};

// An element is dropped where its word is below this.
template <class Target>
std::uint32_t dropout_threshold(float probability) {
  return static_cast<std::uint32_t>(
      __builtin_floor(static_cast<double>(probability) * 0x1p32));
}

// Fills a tile with what dropout multiplies probabilities by: 0 or 1 / (1 - p).
template <class Target, int n>
void draw_kept(const Task& task, const Tile& tile, float* kept) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using U = typename V::U;
  const auto* seed = &task[Operand::seed].at<std::uint32_t>(0);
  const float p = task.numbers.dropout;
  const U threshold = V::broadcast_bits(dropout_threshold<Target>(p));
  const auto scale = V::broadcast(1.0f / (1.0f - p));
  const auto head =
      static_cast<std::uint32_t>(tile.batch * task.problem.Hq + tile.head);
  const Span keys{tile.packed.lo + tile.t.lo, tile.packed.lo + tile.t.hi};
  for (int group = keys.lo / 4; group * 4 < keys.hi; ++group) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      const auto words = Philox<Target>::draw(
          {{V::broadcast_bits(static_cast<std::uint32_t>(group)),
            (U)(V::iota() + (tile.rows.lo + j)),
            V::broadcast_bits(head),
            U{}}},
          seed[0],
          seed[1]);
      for (int w = 0; w < 4; ++w) {
        const int t = group * 4 + w - tile.packed.lo;
        if (t >= tile.t.lo && t < tile.t.hi) {
          V::store(
              kept + X::offset(t, X::panel) + j,
              words.word[w] >= threshold ? scale : V::broadcast(0.0f));
        }
      }
    }
  }
}

// tile *= other.
template <class Target, int n>
void multiply_by_tile(Span rows, float* tile, const float* other) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  for (int t = rows.lo; t < rows.hi; ++t) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      const auto at = X::offset(t, X::panel) + j;
      V::store(
          tile + at,
          V::template load<F>(tile + at) * V::template load<F>(other + at));
    }
  }
}

} // namespace tessera::cpu
