#pragma once

#include "backend/cpu/tile/buffers.h"

namespace tessera::cpu {

// -inf over the scores of a tile that `seen(t, j)`, a truth a lane, leaves out.
template <class Target, int n, class Truth>
void hide_unless(const Tile& tile, float* S, Truth seen) {
  using V = Vec<Target>;
  using X = Product<Target>;
  for (int t = tile.t.lo; t < tile.t.hi; ++t) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      float* const at = S + X::offset(t, X::panel) + j;
      const auto s = V::template load<typename V::F>(at);
      V::store(at, seen(t, j) ? s : V::broadcast(-V::infinity));
    }
  }
}

// Only the keys before and behind those that every query sees.
template <class Target, int n>
void hide_by_position(const Mask& mask, const Tile& tile, float* S) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using I = typename V::I;
  alignas(64) std::int32_t lo[X::panel];
  alignas(64) std::int32_t hi[X::panel];
  for (int i = 0; i < n * V::lanes; ++i) {
    const Span span = mask.span(X::min(tile.rows.lo + i, tile.rows.hi - 1));
    lo[i] = span.lo - tile.packed.lo;
    hi[i] = span.hi - tile.packed.lo;
  }
  const auto seen = [&](int t, int j) {
    return (V::template load<I>(lo + j) <= t) &
        (V::template load<I>(hi + j) > t);
  };
  const Span all = intersect(mask.seen_by_all(tile.rows), tile.keys());
  Tile part = tile;
  if (all.empty()) {
    return hide_unless<Target, n>(part, S, seen);
  }
  part.t = {tile.t.lo, all.lo - tile.packed.lo};
  hide_unless<Target, n>(part, S, seen);
  part.t = {all.hi - tile.packed.lo, tile.t.hi};
  hide_unless<Target, n>(part, S, seen);
}

template <class Target, int n>
void hide_other_segments(const Task& task, const Tile& tile, float* S) {
  using V = Vec<Target>;
  using X = Product<Target>;
  const View& q = task[Operand::segments_q];
  const View& k = task[Operand::segments_k];
  alignas(64) std::int32_t ids[X::panel];
  for (int i = 0; i < n * V::lanes; ++i) {
    ids[i] = q.at<std::int32_t>(
        tile.batch, X::min(tile.rows.lo + i, tile.rows.hi - 1));
  }
  hide_unless<Target, n>(tile, S, [&](int t, int j) {
    const auto id = k.at<std::int32_t>(tile.batch, tile.packed.lo + t);
    return V::template load<typename V::I>(ids + j) == id;
  });
}

// Each block of the list that is off, where it lies over the tile.
template <class Target, int n>
void hide_blocks_off(
    const Task& task, const Cover& cover, const Tile& tile, float* S) {
  using V = Vec<Target>;
  const int rows = task.problem.block_rows;
  const int columns = task.problem.block_columns;
  const Span keys = tile.keys();
  for (int c = keys.lo / columns; c * columns < keys.hi; ++c) {
    Tile part = tile;
    const Span block = intersect(keys, {c * columns, c * columns + columns});
    part.t = {block.lo - tile.packed.lo, block.hi - tile.packed.lo};
    for (int r = tile.rows.lo / rows; r * rows < tile.rows.hi; ++r) {
      if (cover.on(tile.batch, tile.head, r, c)) {
        continue;
      }
      const int lo = r * rows - tile.rows.lo;
      hide_unless<Target, n>(part, S, [&](int, int j) {
        const auto lane = V::iota() + j;
        return (lane < lo) | (lane >= lo + rows);
      });
    }
  }
}

// -inf over what the cover leaves out, where it leaves out anything, and over
// what is no key.
template <class Target, int n>
void hide(const Task& task, const Cover& cover, Tile tile, float* S) {
  const Span keys = tile.keys();
  Tile rest = tile;
  tile.t.hi = rest.t.lo = keys.hi - tile.packed.lo;
  hide_unless<Target, n>(
      rest, S, [](int, int) { return typename Vec<Target>::I{}; });
  if (cover.positions(tile.batch, tile.rows, keys) != Seen::everything) {
    hide_by_position<Target, n>(cover.mask(tile.batch), tile, S);
  }
  if (cover.segments(tile.batch, tile.rows, keys) != Seen::everything) {
    hide_other_segments<Target, n>(task, tile, S);
  }
  if (cover.blocks(tile.batch, tile.head, tile.rows, keys) !=
      Seen::everything) {
    hide_blocks_off<Target, n>(task, cover, tile, S);
  }
}

} // namespace tessera::cpu
