#pragma once

#include "backend/cpu/pass/backward.h"

namespace tessera::cpu {

// The axes of a tile that dbias is summed over: those along which it does not
// move.
struct BiasAxes {
  explicit BiasAxes(const Task& task)
      : row(task[Operand::dbias].strides[2] == 0),
        column(task[Operand::dbias].strides[3] == 0) {}

  bool row, column;
};

// sums[panel][key][lane] of dS; what is summed over lies in one place.
template <class Target, int n>
void add_dS(
    const BiasAxes& axes,
    const Pointwise<Target>& x,
    const Buffers<Target>& b,
    int panel,
    Span t) {
  using V = Vec<Target>;
  using X = Product<Target>;
  using F = typename V::F;
  float* const sums =
      b.at(b.size.dbias) + X::offset(axes.row ? 0 : panel, b.size.tile_words);
  for (int k = t.lo; k < t.hi; ++k) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      F P, dS;
      x.step(X::offset(k, X::panel) + j, j, P, dS);
      float* const to = sums + X::offset(axes.column ? 0 : k, X::panel) + j;
      V::store(to, V::template load<F>(to) + dS);
    }
  }
}

// Adds dS of one block of rows against one packed block of columns.
template <class Target>
void add_block(
    const Task& task,
    const Cover& cover,
    Shared& shared,
    const Buffers<Target>& b,
    const BiasAxes& axes,
    const Rows& columns,
    const Rows& at) {
  using X = Product<Target>;
  using Packer = Pack<Target>;
  const Problem& p = task.problem;
  Packer::lanes_form(
      b.at(b.size.Q_lanes), task[Operand::Q], at, p.D, b.factors.packed);
  Packer::lanes_form(b.at(b.size.dO_lanes), task[Operand::dO], at, p.Dv, 1.0f);
  load_statistics(task, shared, b, at);
  for (int r = at.span.lo, panel = 0; r < at.span.hi; r += X::panel, ++panel) {
    const Span rows{r, X::min(r + X::panel, at.span.hi)};
    auto tile = panel_tile<Target>(cover, columns, at, rows);
    if (tile.t.empty()) {
      continue;
    }
    auto x = pointwise_of(task, b, panel);
    x.S = b.tile(b.size.S, 0);
    x.dP = b.tile(b.size.dP, 0);
    X::template with_vectors<Target::tile.vectors>(rows.size(), [&]<int n>() {
      if (score_and_gradient<Target, n>(task, cover, b, x, panel, true, tile)) {
        add_dS<Target, n>(axes, x, b, panel, tile.t);
      }
    });
  }
}

// The sums of a tile -> dbias, in its dtype.
template <class Target>
void write_dbias(
    const Task& task,
    const Buffers<Target>& b,
    const BiasAxes& axes,
    int batch,
    int head,
    Span rows,
    Span columns) {
  using V = Vec<Target>;
  using X = Product<Target>;
  const View& dbias = task[Operand::dbias];
  for (int i = 0; i < (axes.row ? 1 : rows.size()); ++i) {
    const Row out = dbias.row(batch, head, rows.lo + i);
    const float* const lane = b.at(b.size.dbias) +
        X::offset(i / X::panel, b.size.tile_words) + i % X::panel;
    for (int k = 0; k < (axes.column ? 1 : columns.size()); ++k) {
      float sum = 0;
      const int lanes = axes.row ? X::min(X::panel, rows.size()) : 1;
      for (int l = 0; l < lanes; ++l) {
        sum += lane[X::offset(k, X::panel) + l];
      }
      V::store_features(
          out,
          static_cast<int>((columns.lo + k) * dbias.strides[3]),
          1,
          V::broadcast(sum));
    }
  }
}

// dbias of one tile: the sum of dS over what the bias was broadcast over, in a
// fixed order. S and dP are made once more for it; nothing is shared.
template <class Target>
void bias_gradient(
    const Task& task,
    const Cover& cover,
    Shared& shared,
    const Workspace& workspace,
    const BiasTile& at,
    float* memory) {
  const Buffers<Target> b(task, workspace, memory);
  const BiasAxes axes(task);
  const int group = task.problem.group();
  const Span no_rows{};
  __builtin_memset(b.at(b.size.dbias), 0, b.size.dbias_words * sizeof(float));
  for (int batch = at.batches.lo; batch < at.batches.hi; ++batch) {
    for (int head = at.heads.lo; head < at.heads.hi; ++head) {
      for (int c = at.column_blocks.lo; c < at.column_blocks.hi; ++c) {
        const Rows columns{batch, head / group, shared.column_block(c)};
        pack_keys(task, b, columns);
        for (int r = at.row_blocks.lo; r < at.row_blocks.hi; ++r) {
          if (shared.touches(batch, head, r, c)) {
            const Rows rows{batch, head, shared.row_block(r)};
            add_block(task, cover, shared, b, axes, columns, rows);
          }
        }
      }
    }
  }
  write_dbias(
      task,
      b,
      axes,
      at.batches.lo,
      at.heads.lo,
      at.row_blocks.empty() ? no_rows : shared.row_block(at.row_blocks.lo),
      at.column_blocks.empty() ? no_rows
                               : shared.column_block(at.column_blocks.lo));
}

} // namespace tessera::cpu
