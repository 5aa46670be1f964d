#pragma once

#include "backend/cpu/tile/buffers.h"
#include "backend/cpu/tile/hide.h"

namespace tessera::cpu {

// Between Q K^T and the softmax: what the features do to a tile of scores. Each
// step is one pass over the tile; in float32, natural logarithm.

// A run of `count` values along the keys, for one query, of what joins the
// scores: the bias, and -inf where the boolean mask is false.
template <class Target>
typename Vec<Target>::F load_added(
    const Task& task, const Tile& tile, int row, int key, int count) {
  using V = Vec<Target>;
  typename V::F v = {};
  if (task.problem.features.bias) {
    const View& bias = task[Operand::bias];
    Row from = bias.row(tile.batch, tile.head, row);
    from.data = static_cast<std::byte*>(from.data) +
        key * from.stride * static_cast<std::int64_t>(size_of(from.dtype));
    v = V::load_features(from, 0, count);
  }
  if (task.problem.features.mask) {
    const View& mask = task[Operand::mask];
    const auto kept = V::load_bytes(
        &mask.at<std::uint8_t>(tile.batch, tile.head, row, key),
        mask.strides[3],
        count);
    v = kept != 0u ? v : V::broadcast(-V::infinity);
  }
  return v;
}

// Fills a tile with what joins the scores; gives the keys of `tile` between the
// first and the last, by groups of a vector's length, that the boolean mask
// leaves to some query.
template <class Target, int n>
Span read_added(const Task& task, const Tile& tile, float* added) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  const int end = tile.keys().hi;
  Span kept;
  for (int t = tile.t.lo; t < tile.t.hi; t += V::lanes) {
    const int key = tile.packed.lo + t;
    const int count = X::min(V::lanes, end - key);
    bool some = false;
    for (int j = 0; count > 0 && j < n; ++j) {
      F block[V::lanes];
      typename V::I seen = {};
      for (int i = 0; i < V::lanes; ++i) {
        const int row = tile.rows.lo + j * V::lanes + i;
        block[i] = row < tile.rows.hi
            ? load_added<Target>(task, tile, row, key, count)
            : V::broadcast(-V::infinity);
        seen |= block[i] != -V::infinity;
      }
      some = some || V::any(seen);
      V::transpose(block);
      for (int i = 0; i < X::min(V::lanes, tile.t.hi - t); ++i) {
        V::store(added + X::offset(t + i, X::panel) + j * V::lanes, block[i]);
      }
    }
    if (some) {
      kept = {kept.empty() ? t : kept.lo, X::min(t + V::lanes, tile.t.hi)};
    }
  }
  return kept;
}

// s = c * tanh(s / c); `slope`, where given, becomes 1 - tanh^2.
template <class Target, int n>
void cap(const Tile& tile, float* S, float* slope, float c) {
  using V = Vec<Target>;
  using X = Product<Target>;
  for (int t = tile.t.lo; t < tile.t.hi; ++t) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      const auto at = X::offset(t, X::panel) + j;
      const auto y = V::tanh(V::template load<typename V::F>(S + at) / c);
      V::store(S + at, c * y);
      if (slope != nullptr) {
        V::store(slope + at, 1.0f - y * y);
      }
    }
  }
}

// s -= slope * |i' - j|.
template <class Target, int n>
void add_alibi(const Task& task, const Tile& tile, float* S) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  const float slope = V::load_features(
      task[Operand::slopes].row(tile.batch, tile.head, 0), 0, 1)[0];
  const int shift = task.problem.Nk - task.problem.Nq;
  const F first = __builtin_convertvector(
      V::iota() + (tile.rows.lo + shift - tile.packed.lo), F);
  for (int t = tile.t.lo; t < tile.t.hi; ++t) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      float* const at = S + X::offset(t, X::panel) + j;
      const F distance = V::abs(first + static_cast<float>(j - t));
      V::store(at, V::template load<F>(at) - slope * distance);
    }
  }
}

template <class Target, int n>
void multiply_tile(const Tile& tile, float* S, float factor) {
  using V = Vec<Target>;
  using X = Product<Target>;
  for (int t = tile.t.lo; t < tile.t.hi; ++t) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      float* const at = S + X::offset(t, X::panel) + j;
      V::store(at, V::template load<typename V::F>(at) * factor);
    }
  }
}

template <class Target, int n>
void add_tile(const Tile& tile, float* S, const float* added) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  for (int t = tile.t.lo; t < tile.t.hi; ++t) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      const auto at = X::offset(t, X::panel) + j;
      V::store(
          S + at,
          V::template load<F>(S + at) + V::template load<F>(added + at));
    }
  }
}

// scale * Q K^T -> the scores of the softmax, -inf where a key is not seen.
template <class Target, int n>
void finish_scores(
    const Task& task,
    const Cover& cover,
    const Buffers<Target>& b,
    const Tile& tile,
    float* S) {
  const Features& features = task.problem.features;
  if (b.factors.tile != 1.0f) {
    multiply_tile<Target, n>(tile, S, b.factors.tile);
  }
  if (features.softcap) {
    const bool backward = task.problem.pass != Pass::forward;
    cap<Target, n>(
        tile,
        S,
        backward ? b.at(b.size.capped) : nullptr,
        task.numbers.softcap);
  }
  if (features.bias || features.mask) {
    add_tile<Target, n>(tile, S, b.at(b.size.added));
  }
  if (features.alibi) {
    add_alibi<Target, n>(task, tile, S);
  }
  hide<Target, n>(task, cover, tile, S);
}

} // namespace tessera::cpu
