#pragma once

#include "backend/cpu/tile/buffers.h"
#include "backend/cpu/tile/hide.h"

namespace tessera::cpu {

// Between Q K^T and the softmax: what the features do to a tile of scores. Each
// step is one pass over the tile; in float32, natural logarithm.

// What joins the scores of one query, bias and boolean mask, from key 0 on.
struct AddedRow {
  const std::byte* bias = nullptr;
  const std::uint8_t* mask = nullptr;
};

template <class Target>
[[gnu::always_inline]] inline AddedRow added_row(
    const Task& task, int batch, int head, int row) {
  AddedRow added;
  if (task.problem.features.bias) {
    added.bias = static_cast<const std::byte*>(
        task[Operand::bias].row(batch, head, row).data);
  }
  if (task.problem.features.mask) {
    added.mask = &task[Operand::mask].at<std::uint8_t>(batch, head, row);
  }
  return added;
}

// A run of `count` values along the keys: the bias, and -inf where the mask is
// false.
template <class Target>
[[gnu::always_inline]] inline typename Vec<Target>::F load_added(
    const Task& task, const AddedRow& row, int key, int count) {
  using V = Vec<Target>;
  typename V::F v = {};
  if (row.bias != nullptr) {
    const View& bias = task[Operand::bias];
    const auto offset =
        key * bias.strides[3] * static_cast<std::int64_t>(size_of(bias.dtype));
    v = V::load_features(
        {const_cast<std::byte*>(row.bias + offset),
         bias.dtype,
         bias.strides[3]},
        0,
        count);
  }
  if (row.mask != nullptr) {
    const auto stride = task[Operand::mask].strides[3];
    v = V::hide_where_zero(v, row.mask + key * stride, stride, count);
  }
  return v;
}

// Fills a tile with what joins the scores, or adds it to the tile; gives the
// keys of `tile` between the first and the last, by groups of a vector's
// length, that it leaves to some query.
template <class Target, int n, bool add = false>
Span read_added(const Task& task, const Tile& tile, float* added) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  using U = typename V::U;
  constexpr std::uint32_t hidden = 0xff800000u; // -inf
  AddedRow rows[n * V::lanes];
  for (int i = 0; i < X::min(n * V::lanes, tile.rows.size()); ++i) {
    rows[i] = added_row<Target>(task, tile.batch, tile.head, tile.rows.lo + i);
  }
  Span kept;
  for (int t = tile.t.lo; t < tile.t.hi; t += V::lanes) {
    const int key = tile.packed.lo + t;
    const int wide = X::min(V::lanes, tile.t.hi - t);
    const int count = X::min(wide, task.problem.Nk - key);
    U some = {};
    for (int j = 0; count > 0 && j < n * V::lanes; j += V::lanes) {
      F block[V::lanes];
      for (int i = 0; i < V::lanes; ++i) {
        block[i] = V::broadcast(-V::infinity);
        if (j + i < tile.rows.size()) {
          block[i] = load_added<Target>(task, rows[j + i], key, count);
        }
        some |= (U)block[i] ^ hidden;
      }
      V::transpose(block);
      for (int i = 0; i < wide; ++i) {
        float* const to = added + X::offset(t + i, X::panel) + j;
        V::store(to, add ? V::template load<F>(to) + block[i] : block[i]);
      }
    }
    if (V::any((typename V::I)some)) {
      kept = {kept.empty() ? t : kept.lo, t + wide};
    }
  }
  return kept;
}

// Asks for what joins the scores of the queries a panel behind `rows`. Its rows
// lie a page and more apart, which the processor does not foresee.
template <class Target>
void prefetch_added(const View& view, int size, const Tile& tile, Span rows) {
  const int panel = Product<Target>::panel;
  const Span keys = tile.keys();
  for (int row = rows.lo; view.strides[3] == 1 && row < rows.hi; ++row) {
    const auto* from = static_cast<const std::byte*>(view.data) +
        size * view.offset(tile.batch, tile.head, row + panel, keys.lo);
    for (int byte = 0; byte < keys.size() * size; byte += 64) {
      __builtin_prefetch(from + byte, 0, 2);
    }
  }
}

// Q K^T of a tile. Where a bias or a mask is read, the next panel's is asked
// for between the register tiles: all at once it would wait for memory.
template <class Target, int n>
void multiply_keys(
    const Task& task,
    const Buffers<Target>& b,
    const Tile& tile,
    int panel,
    float* S) {
  const Features& features = task.problem.features;
  if (!features.bias && !features.mask) {
    b.template scores<n>(
        S, b.size.K_rows, b.size.Q_lanes, b.size.lanes_words, panel, tile.t);
    return;
  }
  constexpr int strip = Target::tile.rows;
  const View& bias = task[Operand::bias];
  const View& mask = task[Operand::mask];
  const int strips = (tile.t.size() + strip - 1) / strip;
  const int share = (tile.rows.size() + strips - 1) / strips;
  Span rows{tile.rows.lo, tile.rows.lo};
  for (int t = tile.t.lo; t < tile.t.hi; t += strip) {
    rows = intersect({rows.hi, rows.hi + share}, tile.rows);
    if (features.bias) {
      const int size = static_cast<int>(size_of(bias.dtype));
      prefetch_added<Target>(bias, size, tile, rows);
    }
    if (features.mask) {
      prefetch_added<Target>(mask, 1, tile, rows);
    }
    b.template scores<n>(
        S,
        b.size.K_rows,
        b.size.Q_lanes,
        b.size.lanes_words,
        panel,
        {t, t + strip});
  }
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
  if (features.mask) {
    add_tile<Target, n>(tile, S, b.at(b.size.added));
  } else if (features.bias) {
    read_added<Target, n, true>(task, tile, S);
  }
  if (features.alibi) {
    add_alibi<Target, n>(task, tile, S);
  }
  hide<Target, n>(task, cover, tile, S);
}

} // namespace tessera::cpu
