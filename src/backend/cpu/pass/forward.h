#pragma once

#include "backend/cpu/tile/dropout.h"
#include "backend/cpu/tile/scores.h"
#include "plan/rules.h"

namespace tessera::cpu {

// Keys are taken by whole words of a tile's columns.
template <class Target>
Span whole_words(Span t) {
  constexpr int unit = Target::values_per_word;
  return {t.lo / unit * unit, round_up(t.hi, unit)};
}

// The state of the rows' softmax, a value a query: what is taken off the
// exponents, and the sum l of the probabilities so far; `alpha` is what earlier
// sums shrink by. A row that saw no key yet has a shift of -inf.
//
// The shift need not be the largest exponent: it follows only where some
// exponent exceeds it by 8, which float32 bears, since rescaling all sums at
// every block costs 1 % of the pass (FlashAttention-4 rescales that way).
struct Softmax {
  float* shift;
  float* l;
  float* alpha;
};

// In base 2; -1e8 in natural logarithm. A query that has only lower exponents
// sees no key: a shift that far down is rounded by more than exp2 bears, and is
// what masks of -1e9 or a dtype's lowest number come to.
constexpr float least_exponent = -1.4427e8f;

// One block of keys joins the softmax of a panel of queries: S becomes P. Says
// whether earlier sums must shrink by alpha.
template <class Target, int n>
bool online_softmax(float* S, Span t, float exponent, const Softmax& state) {
  using V = Vec<Target>;
  using P = Product<Target>;
  using F = typename V::F;
  F top[n];
  for (int j = 0; j < n; ++j) {
    top[j] = V::broadcast(-V::infinity);
  }
  for (int k = t.lo; k < t.hi; ++k) {
    for (int j = 0; j < n; ++j) {
      const float* at = S + P::offset(k, P::panel) + j * V::lanes;
      top[j] = V::max(top[j], V::template load<F>(at));
    }
  }
  typename V::I grown = {};
  for (int j = 0; j < n; ++j) {
    top[j] *= exponent;
    top[j] = top[j] > least_exponent ? top[j] : V::broadcast(-V::infinity);
    const F growth = top[j] - V::template load<F>(state.shift + j * V::lanes);
    grown |= growth > 8.0f; // not so where both are -inf
  }
  const bool rescaled = V::any(grown);
  F shift[n];
  F sum[n];
  for (int j = 0; j < n; ++j) {
    const int lane = j * V::lanes;
    sum[j] = V::template load<F>(state.l + lane);
    const F before = V::template load<F>(state.shift + lane);
    const F after = rescaled ? V::max(before, top[j]) : before;
    V::store(state.shift + lane, after);
    shift[j] = after == V::broadcast(-V::infinity) ? F{} : after;
    if (rescaled) {
      const F shrink = V::exp2(before - shift[j]);
      V::store(state.alpha + lane, shrink);
      sum[j] *= shrink;
    }
  }
  for (int k = t.lo; k < t.hi; ++k) {
    for (int j = 0; j < n; ++j) {
      float* const at = S + P::offset(k, P::panel) + j * V::lanes;
      const F p = V::exp2(V::template load<F>(at) * exponent - shift[j]);
      V::store(at, p);
      sum[j] += p;
    }
  }
  for (int j = 0; j < n; ++j) {
    V::store(state.l + j * V::lanes, sum[j]);
  }
  return rescaled;
}

// Two rows of a tile at a time -> words of pairs of keys.
template <class Target, int n>
void pair_keys(float* pairs, const float* tile, Span t) {
  using V = Vec<Target>;
  using P = Product<Target>;
  using F = typename V::F;
  for (int k = t.lo; k < t.hi; k += 2) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      const float* at = tile + P::offset(k, P::panel) + j;
      V::store(
          pairs + P::offset(k / 2, P::panel) + j,
          V::pair(V::template load<F>(at), V::template load<F>(at + P::panel)));
    }
  }
}

// O of a panel of queries, times alpha.
template <class Target>
void rescale(
    const Buffers<Target>& b,
    int panel,
    int rows,
    int features,
    const float* alpha) {
  using P = Product<Target>;
  using V = Vec<Target>;
  using F = typename P::F;
  for (int f = 0; f < features; f += P::lanes) {
    float* const column = b.at(b.size.O) +
        P::offset(f / P::sum_panel * b.size.rows + panel * P::panel,
                  P::sum_panel) +
        f % P::sum_panel;
    for (int r = 0; r < rows; ++r) {
      float* const at = column + P::offset(r, P::sum_panel);
      V::store(at, V::template load<F>(at) * alpha[r]);
    }
  }
}

// One panel of queries against one packed block of keys.
template <class Target>
void forward_tile(
    const Task& task,
    const Cover& cover,
    const Buffers<Target>& b,
    int panel,
    Tile tile) {
  using P = Product<Target>;
  const Problem& p = task.problem;
  const int lane = panel * P::panel;
  float* const S = b.at(b.size.S);
  const Softmax state{
      b.statistic(0) + lane, b.statistic(1) + lane, b.statistic(2) + lane};
  P::template with_vectors<Target::tile.vectors>(
      tile.rows.size(), [&]<int n>() {
        if (p.features.mask) {
          tile.t = whole_words<Target>(
              read_added<Target, n>(task, tile, b.at(b.size.added)));
          if (tile.t.empty()) {
            return;
          }
        }
        multiply_keys<Target, n>(task, b, tile, panel, S);
        finish_scores<Target, n>(task, cover, b, tile, S);
        if (online_softmax<Target, n>(S, tile.t, b.factors.exponent, state)) {
          rescale(b, panel, tile.rows.size(), p.Dv, state.alpha);
        }
        if (p.features.dropout) {
          draw_kept<Target, n>(task, tile, b.at(b.size.kept));
          multiply_by_tile<Target, n>(tile.t, S, b.at(b.size.kept));
        }
        float* left = S;
        if constexpr (Buffers<Target>::pairs) {
          pair_keys<Target, n>(b.at(b.size.key_pairs), S, tile.t);
          left = b.at(b.size.key_pairs);
        }
        b.sum_over_keys(
            b.size.O,
            left,
            b.size.V_features,
            p.Dv,
            panel,
            tile.rows.size(),
            tile.t);
      });
}

// Natural logarithm; -inf where there is none.
template <class Target>
float sink_of(const Task& task, int head) {
  using V = Vec<Target>;
  return task.problem.features.sinks
      ? V::load_features(task[Operand::sinks].row(head, 0, 0), 0, 1)[0]
      : -V::infinity;
}

// The sink is one more key, whose score is as it is and whose value is 0.
template <class Target>
void start_rows(const Task& task, const Buffers<Target>& b, const Rows& at) {
  using V = Vec<Target>;
  const float shift = sink_of<Target>(task, at.head) * V::log2e;
  for (int r = 0; r < b.size.rows; ++r) {
    b.statistic(0)[r] = shift;
    b.statistic(1)[r] = shift == -V::infinity ? 0.0f : 1.0f;
  }
  b.clear(b.size.O, b.size.rows, task.problem.Dv);
}

// O = O / l, L = shift ln 2 + log(l). L of a row that sees the sink alone is
// the sink to the bit.
template <class Target>
void finish_rows(const Task& task, const Buffers<Target>& b, const Rows& at) {
  using V = Vec<Target>;
  const float sink = sink_of<Target>(task, at.head);
  for (int r = 0; r < at.span.size(); ++r) {
    const int row = at.span.lo + r;
    const float shift = b.statistic(0)[r];
    const float l = b.statistic(1)[r];
    b.write(
        task[Operand::O].row(at.batch, at.head, row),
        b.size.O,
        b.size.rows,
        task.problem.Dv,
        r,
        l == 0.0f ? 0.0f : 1.0f / l);
    const bool alone = l == 1.0f && shift == sink * V::log2e;
    task[Operand::L].at<float>(at.batch, at.head, row) =
        alone ? sink : shift * V::ln2 + __builtin_logf(l);
  }
}

// O = softmax(scores) V and L for one block of rows.
//
//   for each block of columns:
//     S = K Q^T, transposed: lanes are rows, so row sums need no shuffles
//     P = exp(S - m), O = alpha * O + P V
//   O = O / l, L = m + log(l)
template <class Target>
void forward(
    const Task& task,
    const Cover& cover,
    const Workspace& workspace,
    const Rows& at,
    float* memory) {
  using P = Product<Target>;
  using Packer = Pack<Target>;
  const Problem& p = task.problem;
  const Buffers<Target> b(task, workspace, memory);
  const Span seen = cover.keys(at.batch, at.span);
  const int block = task.plan.columns;
  const Rows start{
      at.batch,
      at.head / p.group(),
      {seen.lo, P::min(seen.hi, seen.lo + block)}};
  Packer::prefetch(task[Operand::Q], at, p.D, 0, 1);
  Packer::prefetch(task[Operand::K], start, p.D, 0, 1);
  Packer::prefetch(task[Operand::V], start, p.Dv, 0, 1);
  Packer::lanes_form(
      b.at(b.size.Q_lanes), task[Operand::Q], at, p.D, b.factors.packed);
  start_rows(task, b, at);

  for (int c = seen.lo / block * block; c < seen.hi; c += block) {
    const Span needed = intersect({c, c + block}, seen);
    if (!cover.live(at.batch, at.head, at.span, needed)) {
      continue;
    }
    const int first = whole_words<Target>(needed).lo;
    const Rows keys{at.batch, at.head / p.group(), {first, needed.hi}};
    constexpr int spare = Buffers<Target>::spare;
    Packer::rows(
        b.at(b.size.K_rows),
        b.columns_height,
        task[Operand::K],
        keys,
        p.D,
        spare);
    Packer::features(
        b.at(b.size.V_features),
        b.column_words_height,
        task[Operand::V],
        keys,
        p.Dv,
        spare);
    const Rows next{
        keys.batch, keys.head, intersect({c + block, c + 2 * block}, seen)};
    int count = 0;
    Tile tiles[most_panels];
    for (int r = at.span.lo; r < at.span.hi; r += P::panel) {
      const Span rows{r, P::min(r + P::panel, at.span.hi)};
      const Span mine = intersect(needed, cover.keys(at.batch, rows));
      if (!mine.empty() && cover.live(at.batch, at.head, rows, mine)) {
        tiles[count++] = {
            at.batch,
            at.head,
            rows,
            keys.span,
            whole_words<Target>({mine.lo - first, mine.hi - first})};
      }
    }
    for (int i = 0; i < count; ++i) {
      Packer::prefetch(task[Operand::K], next, p.D, i, count);
      Packer::prefetch(task[Operand::V], next, p.Dv, i, count);
      const int panel = (tiles[i].rows.lo - at.span.lo) / P::panel;
      forward_tile(task, cover, b, panel, tiles[i]);
    }
  }
  finish_rows(task, b, at);
}

} // namespace tessera::cpu
