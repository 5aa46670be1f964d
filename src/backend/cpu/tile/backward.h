#pragma once

#include "backend/cpu/tile/buffers.h"
#include "backend/cpu/tile/masked.h"

namespace tessera::cpu {

// L and E of a run of rows, L in the base 2 of exp2. A row that sees no key has
// L = -inf; +inf in its place makes its P exactly 0.
template <class Target>
void load_row_statistics(
    const Task& task, const Item& at, float* L2, float* E) {
  using V = Vec<Target>;
  for (int r = 0; r < at.rows.size(); ++r) {
    const int row = at.rows.lo + r;
    const float L = *static_cast<const float*>(
        task[Operand::L].row(at.batch, at.head, row).data);
    L2[r] = L == -V::infinity ? V::infinity : L * V::log2e;
    if (task[Operand::E].data != nullptr) { // dV alone needs none
      E[r] = *static_cast<const float*>(
          task[Operand::E].row(at.batch, at.head, row).data);
    }
  }
}

// P = exp(S - L) in place; `by_lane`: L belongs to lanes, else to tile rows.
template <class Target, int n, bool by_lane>
void probabilities(float* S, const float* L2, Span t) {
  using V = Vec<Target>;
  using P = Panel<Target>;
  using F = typename V::F;
  for (int k = t.lo; k < t.hi; ++k) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      float* const at = S + P::offset(k, P::width) + j;
      const F shift =
          by_lane ? V::template load<F>(L2 + j) : V::broadcast(L2[k]);
      V::store(at, V::exp2(V::template load<F>(at) * V::log2e - shift));
    }
  }
}

// dS = P * (dP - E) in place of dP.
template <class Target, int n, bool by_lane>
void score_gradients(float* dP, const float* S, const float* E, Span t) {
  using V = Vec<Target>;
  using P = Panel<Target>;
  using F = typename V::F;
  for (int k = t.lo; k < t.hi; ++k) {
    for (int j = 0; j < n * V::lanes; j += V::lanes) {
      float* const at = dP + P::offset(k, P::width) + j;
      const F p = V::template load<F>(S + P::offset(k, P::width) + j);
      const F e = by_lane ? V::template load<F>(E + j) : V::broadcast(E[k]);
      V::store(at, p * (V::template load<F>(at) - e));
    }
  }
}

// dQ for one block of rows.
//
//   for each block of columns:
//     S = K Q^T, P = exp(S - L), dP = V dO^T   lanes are rows
//     dQ += (P * (dP - E))^T K
//   dQ = scale * dQ
template <class Target>
void backward_dQ(const Task& task, const Item& item, float* memory) {
  using P = Panel<Target>;
  const Problem& p = task.problem;
  const Buffers<Target> b(task, memory);
  float* const L2 = b.statistic(0);
  float* const E = b.statistic(1);
  P::pack_transposed(b.stationary_a, task[Operand::Q], item, p.D, task.scale);
  P::pack_transposed(b.stationary_b, task[Operand::dO], item, p.Dv);
  load_row_statistics<Target>(task, item, L2, E);
  b.clear(b.accumulator_a, p.D);

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
        probabilities<Target, n, true>(b.S, L2 + lane, t);
        b.template multiply<n>(
            b.dP, b.traversal_b, b.stationary_b, p.Dv, panel, t);
        score_gradients<Target, n, true>(b.dP, b.S, E + lane, t);
      });
      b.accumulate(
          b.accumulator_a, b.dP, b.traversal_a, p.D, panel, rows.size(), t);
    }
  }

  for (int r = 0; r < item.rows.size(); ++r) {
    b.write(
        task[Operand::dQ].row(item.batch, item.head, item.rows.lo + r),
        b.accumulator_a,
        p.D,
        r,
        task.scale);
  }
}

// dK and dV of one block of columns, from one block of rows of one query head.
//
//   S = Q K^T, P = exp(S - L), dP = dO V^T   lanes are columns
//   dV += P^T dO, dK += (P * (dP - E))^T Q
template <class Target>
void add_dKdV(
    const Task& task,
    const Buffers<Target>& b,
    const Item& columns,
    const Item& rows) {
  using P = Panel<Target>;
  const Problem& p = task.problem;
  float* const L2 = b.statistic(0);
  float* const E = b.statistic(1);
  P::pack(b.traversal_a, b.height, task[Operand::Q], rows, p.D, task.scale);
  P::pack(b.traversal_b, b.height, task[Operand::dO], rows, p.Dv);
  load_row_statistics<Target>(task, rows, L2, E);
  for (int c = columns.rows.lo; c < columns.rows.hi; c += P::width) {
    const Span keys{c, P::min(c + P::width, columns.rows.hi)};
    const Span queries = intersect(rows.rows, task.mask.sees_any(keys));
    if (queries.empty()) {
      continue;
    }
    const Span t{queries.lo - rows.rows.lo, queries.hi - rows.rows.lo};
    const int panel = (c - columns.rows.lo) / P::width;
    P::with_vectors(P::vectors_for(keys.size()), [&]<int n>() {
      b.template multiply<n>(b.S, b.traversal_a, b.stationary_a, p.D, panel, t);
      if (!task.mask.sees_all(keys).contains(queries)) {
        hide_queries<Target, n>(b.S, task.mask, c, rows.rows.lo, t);
      }
      probabilities<Target, n, false>(b.S, L2, t);
      if (task[Operand::dK].data != nullptr) {
        b.template multiply<n>(
            b.dP, b.traversal_b, b.stationary_b, p.Dv, panel, t);
        score_gradients<Target, n, false>(b.dP, b.S, E, t);
      }
    });
    if (task[Operand::dV].data != nullptr) {
      b.accumulate(
          b.accumulator_b, b.S, b.traversal_b, p.Dv, panel, keys.size(), t);
    }
    if (task[Operand::dK].data != nullptr) {
      b.accumulate(
          b.accumulator_a, b.dP, b.traversal_a, p.D, panel, keys.size(), t);
    }
  }
}

// dK and dV of one block of columns: the sum over the heads of its group, then
// over blocks of rows, in this order. Q is packed times the scale, so dK has
// it.
template <class Target>
void backward_dKdV(const Task& task, const Item& item, float* memory) {
  using P = Panel<Target>;
  const Problem& p = task.problem;
  const Buffers<Target> b(task, memory);
  P::pack_transposed(b.stationary_a, task[Operand::K], item, p.D);
  P::pack_transposed(b.stationary_b, task[Operand::V], item, p.Dv);
  b.clear(b.accumulator_a, p.D);
  b.clear(b.accumulator_b, p.Dv);

  const Span seen = task.mask.sees_any(item.rows);
  for (int g = 0; g < p.group(); ++g) {
    const int head = item.head * p.group() + g;
    for (int r = seen.lo; r < seen.hi; r += task.plan.rows) {
      add_dKdV(
          task,
          b,
          item,
          {item.batch, head, {r, P::min(r + task.plan.rows, seen.hi)}});
    }
  }

  for (int r = 0; r < item.rows.size(); ++r) {
    const int row = item.rows.lo + r;
    if (task[Operand::dK].data != nullptr) {
      const Row to = task[Operand::dK].row(item.batch, item.head, row);
      b.write(to, b.accumulator_a, p.D, r, 1.0f);
    }
    if (task[Operand::dV].data != nullptr) {
      const Row to = task[Operand::dV].row(item.batch, item.head, row);
      b.write(to, b.accumulator_b, p.Dv, r, 1.0f);
    }
  }
}

// E = rowsum(dO * O) - dL of one block of rows.
template <class Target>
void row_dots(const Task& task, const Item& item, float*) {
  using V = Vec<Target>;
  using P = Panel<Target>;
  const int features = task.problem.Dv;
  for (int row = item.rows.lo; row < item.rows.hi; ++row) {
    const Row O = task[Operand::O].row(item.batch, item.head, row);
    const Row dO = task[Operand::dO].row(item.batch, item.head, row);
    typename V::F sum = {};
    for (int f = 0; f < features; f += V::lanes) {
      const int n = P::min(features - f, V::lanes);
      sum += V::load_features(O, f, n) * V::load_features(dO, f, n);
    }
    const auto at = [&](Operand operand) {
      return static_cast<float*>(
          task[operand].row(item.batch, item.head, row).data);
    };
    *at(Operand::E) = V::sum(sum) - *at(Operand::dL);
  }
}

} // namespace tessera::cpu
