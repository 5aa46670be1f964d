#pragma once

#include "backend/cpu/pass/pointwise.h"
#include "backend/cpu/shared.h"
#include "plan/rules.h"

namespace tessera::cpu {

// What of a backward pass is wanted.
struct Wanted {
  explicit Wanted(const Task& task)
      : dQ(task[Operand::dQ].data != nullptr),
        dK(task[Operand::dK].data != nullptr),
        dV(task[Operand::dV].data != nullptr),
        dslopes(task[Operand::dslopes].data != nullptr) {}

  bool dS() const {
    return dQ || dK || dslopes;
  }

  bool dQ, dK, dV, dslopes;
};

// L in the base of exp2, and E, of a run of rows. A row that sees no key has L
// = -inf; +inf in its place, and behind the last row, makes P exactly 0.
template <class Target>
void load_statistics(
    const Task& task,
    Shared& shared,
    const Buffers<Target>& b,
    const Rows& at) {
  using V = Vec<Target>;
  float* const L2 = b.statistic(0);
  float* const E = b.statistic(1);
  const View& view = task[Operand::L];
  for (int r = 0; r < b.size.rows; ++r) {
    L2[r] = V::infinity;
    E[r] = 0.0f;
    if (r < at.span.size()) {
      const int row = at.span.lo + r;
      const float L = view.at<float>(at.batch, at.head, row);
      L2[r] = L == -V::infinity ? V::infinity : L * V::log2e;
      E[r] = shared.E(at.batch, at.head, row);
    }
  }
}

// P and dS of one panel of queries, and its part of dQ. Gives the keys that
// were computed.
template <class Target>
Span backward_tile(
    const Task& task,
    const Cover& cover,
    const Buffers<Target>& b,
    const Wanted& wanted,
    int panel,
    Tile tile,
    float& slope) {
  using X = Product<Target>;
  const auto x = pointwise_of(task, b, panel);
  X::template with_vectors<Target::tile.vectors>(
      tile.rows.size(), [&]<int n>() {
        if (!score_and_gradient<Target, n>(
                task, cover, b, x, panel, wanted.dS(), tile)) {
          return;
        }
        if (wanted.dslopes) {
          slope += slope_gradient<Target, n>(task, tile, x);
        }
        float* left = x.dP;
        if constexpr (Buffers<Target>::pairs) {
          pointwise_pairs<Target, n>(
              x,
              b.pair_tile(b.size.P_pairs, panel),
              b.pair_tile(b.size.dS_pairs, panel),
              b.at(b.size.key_pairs),
              tile.t);
          left = b.at(b.size.key_pairs);
        } else {
          pointwise<Target, n>(x, tile.t);
        }
        if (wanted.dQ) {
          b.sum_over_keys(
              b.size.dQ,
              left,
              b.size.K_features,
              task.problem.D,
              panel,
              tile.rows.size(),
              tile.t);
        }
      });
  return tile.t;
}

// The panels of a block of rows that were computed: their queries and keys.
struct Panels {
  static constexpr int most = most_panels;
  int count = 0;
  int queries[most];
  Span t[most];

  // Whether some panel was computed for the register tile of a key.
  [[gnu::always_inline]] bool have(int key) const {
    for (int p = 0; p < count; ++p) {
      if (t[p].lo <= key && key < t[p].hi) {
        return true;
      }
    }
    return false;
  }
};

// sums += tiles^T * right, over the queries of all panels: dV from P and dO, dK
// from dS and Q.
template <class Target>
void sum_over_queries(
    const Buffers<Target>& b,
    const Panels& panels,
    std::size_t sums,
    std::size_t tiles,
    std::size_t right,
    int features,
    int keys) {
  using X = Product<Target>;
  constexpr int strip = Target::tile.sum_rows;
  constexpr int pitch = X::panel / Target::values_per_word;
  for (int f = 0; f < features; f += X::sum_panel) {
    const float* const from = b.at(right) +
        X::offset(f / X::sum_panel * b.row_words_height, X::sum_panel);
    for (int k = 0; k < keys; k += strip) {
      if (!panels.have(k)) {
        continue;
      }
      float* const to = b.at(sums) +
          X::offset(f / X::sum_panel * b.size.columns + k, X::sum_panel);
      X::template with_vectors<Target::tile.sum_vectors>(
          features - f, [&]<int n>() {
            typename X::template SumOverQueries<n, pitch> sum(to);
            for (int p = 0; p < panels.count; ++p) {
              if (panels.t[p].lo <= k && k < panels.t[p].hi) {
                const float* const left = Buffers<Target>::pairs
                    ? b.pair_tile(tiles, p)
                    : b.tile(tiles, p);
                sum.add(
                    left + X::offset(k, pitch),
                    from + X::offset(p * pitch, X::sum_panel),
                    Pack<Target>::words(panels.queries[p]));
              }
            }
          });
    }
  }
}

// The sum of an item for a block of rows joins dQ in the item's turn.
template <class Target>
void add_dQ(
    const Task& task,
    Shared& shared,
    const Buffers<Target>& b,
    const Rows& at,
    int row_block,
    int column_block) {
  using V = Vec<Target>;
  using X = Product<Target>;
  const Problem& p = task.problem;
  const auto turn = shared.wait(at.batch, at.head, row_block, column_block);
  const Span all = shared.row_block(row_block);
  const bool direct = p.dtype == Dtype::float32;
  for (int row = all.lo; row < all.hi; ++row) {
    const bool mine = at.span.lo <= row && row < at.span.hi;
    const Row out = task[Operand::dQ].row(at.batch, at.head, row);
    const Row sum = direct ? out : Row{shared.dQ(at.batch, at.head, row)};
    for (int f = 0; f < p.D; f += X::lanes) {
      const int n = X::min(p.D - f, X::lanes);
      typename V::F v =
          turn.first ? typename V::F{} : V::load_features(sum, f, n);
      if (mine) {
        const float* from = b.at(b.size.dQ) +
            X::offset(f / X::sum_panel * b.size.rows + row - at.span.lo,
                      X::sum_panel) +
            f % X::sum_panel;
        v += V::template load<typename V::F>(from) * task.numbers.scale;
      }
      V::store_features(sum, f, n, v);
      if (!direct && turn.last) {
        V::store_features(out, f, n, v);
      }
    }
  }
  shared.done(at.batch, at.head, row_block, column_block);
}

// What one block of rows of one query head adds to dQ, dK, dV and dslopes.
template <class Target>
float backward_rows(
    const Task& task,
    const Cover& cover,
    Shared& shared,
    const Buffers<Target>& b,
    const Rows& columns,
    const Rows& at) {
  using X = Product<Target>;
  using Packer = Pack<Target>;
  const Problem& p = task.problem;
  const Wanted wanted(task);
  constexpr int spare = Buffers<Target>::spare;
  const View& Q = task[Operand::Q];
  const View& dO = task[Operand::dO];
  Packer::lanes_form(b.at(b.size.Q_lanes), Q, at, p.D, b.factors.packed);
  Packer::lanes_form(b.at(b.size.dO_lanes), dO, at, p.Dv, 1.0f);
  Packer::features(
      b.at(b.size.Q_features), b.row_words_height, Q, at, p.D, spare);
  Packer::features(
      b.at(b.size.dO_features), b.row_words_height, dO, at, p.Dv, spare);
  load_statistics(task, shared, b, at);
  if (wanted.dQ) {
    b.clear(b.size.dQ, b.size.rows, p.D);
  }
  Panels panels;
  float slope = 0;
  const Rows next{
      at.batch,
      at.head,
      {at.span.lo - X::min(at.span.size(), at.span.lo), at.span.lo}};
  const int count = (at.span.size() + X::panel - 1) / X::panel;
  for (int r = at.span.lo; r < at.span.hi; r += X::panel) {
    Packer::prefetch(Q, next, p.D, panels.count, count);
    Packer::prefetch(dO, next, p.Dv, panels.count, count);
    const Span rows{r, X::min(r + X::panel, at.span.hi)};
    auto tile = panel_tile<Target>(cover, columns, at, rows);
    if (!tile.t.empty()) {
      tile.t = backward_tile(task, cover, b, wanted, panels.count, tile, slope);
    }
    panels.queries[panels.count] = rows.size();
    panels.t[panels.count++] = tile.t;
  }
  const auto& size = b.size;
  const std::size_t P = Buffers<Target>::pairs ? size.P_pairs : size.S;
  const std::size_t dS = Buffers<Target>::pairs ? size.dS_pairs : size.dP;
  const int keys = columns.span.size();
  if (wanted.dV) {
    sum_over_queries(b, panels, size.dV, P, size.dO_features, p.Dv, keys);
  }
  if (wanted.dK) {
    sum_over_queries(b, panels, size.dK, dS, size.Q_features, p.D, keys);
  }
  return slope;
}

template <class Target>
void write_keys(const Task& task, const Buffers<Target>& b, const Rows& at) {
  const Problem& p = task.problem;
  for (int r = 0; r < at.span.size(); ++r) {
    const int row = at.span.lo + r;
    const auto write =
        [&](Operand operand, std::size_t sums, int features, float factor) {
          if (task[operand].data != nullptr) {
            const Row to = task[operand].row(at.batch, at.head, row);
            b.write(to, sums, b.size.columns, features, r, factor);
          }
        };
    write(Operand::dK, b.size.dK, p.D, task.numbers.scale);
    write(Operand::dV, b.size.dV, p.Dv, 1.0f);
  }
}

template <class Target>
void pack_keys(const Task& task, const Buffers<Target>& b, const Rows& at) {
  using Packer = Pack<Target>;
  const Problem& p = task.problem;
  constexpr int spare = Buffers<Target>::spare;
  const View& K = task[Operand::K];
  Packer::rows(b.at(b.size.K_rows), b.columns_height, K, at, p.D, spare);
  Packer::rows(
      b.at(b.size.V_rows), b.columns_height, task[Operand::V], at, p.Dv, spare);
  if constexpr (Buffers<Target>::pairs) {
    Packer::features(
        b.at(b.size.K_features), b.column_words_height, K, at, p.D, spare);
  }
}

// All gradients that one block of columns of a key head takes part in. Five
// products a tile:
//
//   for each query head of the group, each block of rows:
//     S = K Q^T, P = exp(S - L), dP = V dO^T     lanes are rows
//     dS = P * (dP - E), dQ += dS^T K
//     dV += P dO, dK += dS Q                     over the whole block of rows
template <class Target>
void backward(
    const Task& task,
    const Cover& cover,
    Shared& shared,
    const Workspace& workspace,
    const Rows& at,
    float* memory) {
  const Problem& p = task.problem;
  const Buffers<Target> b(task, workspace, memory);
  const int column_block = at.span.lo / shared.grid().columns;
  pack_keys(task, b, at);
  b.clear(b.size.dK, b.size.columns, p.D);
  b.clear(b.size.dV, b.size.columns, p.Dv);
  shared.wait_for_memory(at.batch, at.head);

  const Span seen = cover.rows(at.batch, at.span);
  for (int g = 0; g < p.group(); ++g) {
    const int head = at.head * p.group() + g;
    float slope = 0;
    // From the last rows up: under a causal mask those see every key, so that
    // an item meets the rows of the one before it behind that one, not ahead.
    const int side = shared.grid().rows;
    for (int r = (seen.hi + side - 1) / side - 1; r >= seen.lo / side; --r) {
      if (shared.touches(at.batch, head, r, column_block)) {
        const Rows rows{at.batch, head, intersect(seen, shared.row_block(r))};
        slope += backward_rows(task, cover, shared, b, at, rows);
        if (task[Operand::dQ].data != nullptr) {
          add_dQ(task, shared, b, rows, r, column_block);
        }
      }
    }
    if (p.features.alibi) {
      shared.slope_part(at.batch, head, column_block) = slope;
    }
  }
  write_keys(task, b, at);
  shared.finish_item(at.batch, at.head);
}

} // namespace tessera::cpu
