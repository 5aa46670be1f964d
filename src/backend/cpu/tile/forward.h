#pragma once

#include "backend/cpu/tile/buffers.h"
#include "backend/cpu/tile/masked.h"

namespace tessera::cpu {

// One block of keys joins the softmax of a panel of queries (lanes): S becomes
// P, relative to the new row maximum m; l is the sum so far; `alpha` is what
// earlier sums shrink by. A row that saw no key yet keeps m = -inf.
template <class Target, int n>
void online_softmax(float* S, Span t, float* m, float* l, float* alpha) {
  using V = Vec<Target>;
  using P = Panel<Target>;
  using F = typename V::F;
  for (int j = 0; j < n * V::lanes; j += V::lanes) {
    float* const column = S + j;
    const F before = V::template load<F>(m + j);
    F top = before;
    for (int k = t.lo; k < t.hi; ++k) {
      top = V::max(top, V::template load<F>(column + P::offset(k, P::width)));
    }
    const F shift = (top == V::broadcast(-V::infinity) ? F{} : top) * V::log2e;
    F sum = F{};
    for (int k = t.lo; k < t.hi; ++k) {
      float* const at = column + P::offset(k, P::width);
      const F p = V::exp2(V::template load<F>(at) * V::log2e - shift);
      V::store(at, p);
      sum += p;
    }
    const F shrink = V::exp2(before * V::log2e - shift);
    V::store(alpha + j, shrink);
    V::store(l + j, V::template load<F>(l + j) * shrink + sum);
    V::store(m + j, top);
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
  using P = Panel<Target>;
  using F = typename P::F;
  for (int f = 0; f < features; f += P::lanes) {
    float* const column = b.accumulator_b +
        P::offset(f / P::width * b.depth + panel * P::width, P::width) +
        f % P::width;
    for (int r = 0; r < rows; ++r) {
      float* const at = column + P::offset(r, P::width);
      P::V::store(at, P::V::template load<F>(at) * alpha[r]);
    }
  }
}

// O = softmax(scale * Q K^T) V and L for one block of rows.
//
//   for each block of columns:
//     S = K Q^T, transposed: lanes are rows, so row sums need no shuffles
//     P = exp(S - m), O = alpha * O + P V
//   O = O / l, L = m + log(l)
template <class Target>
void forward(const Task& task, const Item& item, float* memory) {
  using P = Panel<Target>;
  const Problem& p = task.problem;
  const Buffers<Target> b(task, memory);
  float* const m = b.statistic(0);
  float* const l = b.statistic(1);
  float* const alpha = b.statistic(2);
  P::pack_transposed(b.stationary_a, task[Operand::Q], item, p.D, task.scale);
  b.clear(b.accumulator_b, p.Dv);
  for (int r = 0; r < b.depth; ++r) {
    m[r] = -P::V::infinity;
    l[r] = 0.0f;
  }

  const Span seen = task.mask.seen_by_any(item.rows);
  const int key_head = item.head / p.group();
  for (int c = seen.lo; c < seen.hi; c += task.plan.columns) {
    const Item columns{
        item.batch, key_head, {c, P::min(c + task.plan.columns, seen.hi)}};
    P::pack(b.traversal_a, b.height, task[Operand::K], columns, p.D);
    P::pack(b.traversal_b, b.height, task[Operand::V], columns, p.Dv);
    for (int r = item.rows.lo; r < item.rows.hi; r += P::width) {
      const Span rows{r, P::min(r + P::width, item.rows.hi)};
      const Span keys = intersect(columns.rows, task.mask.seen_by_any(rows));
      if (keys.empty()) {
        continue;
      }
      const Span t{keys.lo - c, keys.hi - c};
      const int panel = (r - item.rows.lo) / P::width;
      const int lane = panel * P::width;
      P::with_vectors(P::vectors_for(rows.size()), [&]<int n>() {
        b.template multiply<n>(
            b.S, b.traversal_a, b.stationary_a, p.D, panel, t);
        if (!task.mask.seen_by_all(rows).contains(keys)) {
          hide_keys<Target, n>(b.S, task.mask, rows, c, t);
        }
        online_softmax<Target, n>(b.S, t, m + lane, l + lane, alpha + lane);
      });
      rescale(b, panel, rows.size(), p.Dv, alpha + lane);
      b.accumulate(
          b.accumulator_b, b.S, b.traversal_b, p.Dv, panel, rows.size(), t);
    }
  }

  for (int r = 0; r < item.rows.size(); ++r) {
    const int row = item.rows.lo + r;
    const float inverse = l[r] == 0.0f ? 0.0f : 1.0f / l[r];
    b.write(
        task[Operand::O].row(item.batch, item.head, row),
        b.accumulator_b,
        p.Dv,
        r,
        inverse);
    *static_cast<float*>(
        task[Operand::L].row(item.batch, item.head, row).data) =
        m[r] + __builtin_logf(l[r]);
  }
}

} // namespace tessera::cpu
