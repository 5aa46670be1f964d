#pragma once

#include "backend/cpu/pass/few_softmax.h"

namespace tessera::cpu {

// What the queries of one key head get from a run of keys: shift and l of each
// softmax, and O, in `part`.
template <class Target>
void few_forward(
    const Task& task,
    const Cover& cover,
    const FewWorkspace& workspace,
    const Rows& at, // keys
    float* part,
    float* memory) {
  using V = Vec<Target>;
  Few<Target> x(task, workspace, memory);
  const Problem& p = task.problem;
  const Span queries{0, p.Nq};
  for (int g = 0; g < p.group(); ++g) {
    x.copy(
        x.Q + std::ptrdiff_t{g} * p.Nq * x.D,
        x.D,
        task[Operand::Q],
        {at.batch, at.head * p.group() + g, queries},
        p.D);
  }
  for (std::ptrdiff_t i = 0; i < std::ptrdiff_t{x.rows} * x.D; ++i) {
    x.Q[i] *= task.numbers.scale;
  }
  for (int row = 0; row < x.rows; ++row) {
    x.state[2 * row] = -V::infinity;
    x.state[2 * row + 1] = 0.0f;
  }
  __builtin_memset(
      x.O,
      0,
      static_cast<std::size_t>(x.rows) * static_cast<std::size_t>(x.Dv) *
          sizeof(float));
  const Span seen = intersect(at.span, cover.keys(at.batch, queries));
  x.soon({at.batch, at.head, seen});
  for (int k = seen.lo; k < seen.hi; k += x.strip) {
    const Rows keys{at.batch, at.head, intersect(seen, {k, k + x.strip})};
    // This strip and the beginning of the next; the work on it asks for more.
    constexpr int lead = 16;
    x.ask(x.soon_count - (seen.hi - k - x.strip - lead));
    few_strip_of_keys(task, cover, x, keys);
  }
  float* to = part;
  for (int row = 0; row < x.rows; ++row) {
    __builtin_memcpy(to, x.state + 2 * row, 2 * sizeof(float));
    __builtin_memcpy(
        to + 2,
        x.O + std::ptrdiff_t{row} * x.Dv,
        static_cast<std::size_t>(p.Dv) * sizeof(float));
    to += 2 + p.Dv;
  }
}

template <class Target>
void few_strip_of_keys(
    const Task& task, const Cover& cover, Few<Target>& x, const Rows& keys) {
  const Problem& p = task.problem;
  const int count = keys.span.size();
  bool live = false;
  for (int g = 0; g < p.group(); ++g) {
    const int head = keys.head * p.group() + g;
    live = live || cover.live(keys.batch, head, {0, p.Nq}, keys.span);
  }
  if (!live) {
    return;
  }
  x.copy(x.K, x.D, task[Operand::K], keys, p.D);
  x.copy(x.values, x.Dv, task[Operand::V], keys, p.Dv);
  x.each_rows([&]<int n>(int row) { x.template scores<n>(row, count); });
  for (int row = 0; row < x.rows; ++row) {
    const int query = row % p.Nq;
    const Tile tile{
        keys.batch,
        keys.head * p.group() + row / p.Nq,
        {query, query + 1},
        keys.span,
        {0, count}};
    few_softmax(cover, x, tile, row);
    if (p.features.dropout) {
      few_dropout(x, tile, row);
    }
  }
  x.each_rows([&]<int n>(int row) { x.template add_values<n>(row, count); });
}

// O and L of one query from its parts, in the order of their keys. The parts
// lie `step` floats apart.
template <class Target>
void few_combine(
    const Task& task,
    int batch,
    int head,
    int row,
    const float* part,
    std::ptrdiff_t step,
    int parts) {
  using V = Vec<Target>;
  using F = typename V::F;
  const Problem& p = task.problem;
  const float sink = sink_of<Target>(task, head);
  const float sink_shift = sink * V::log2e;
  float top = sink_shift;
  for (int i = 0; i < parts; ++i) {
    top = __builtin_fmaxf(top, part[i * step]);
  }
  const float used = top == -V::infinity ? 0.0f : top;
  const auto weight = [&](float shift) {
    return V::exp2(V::broadcast(shift - used))[0];
  };
  float l = weight(sink_shift);
  for (int i = 0; i < parts; ++i) {
    l += part[i * step + 1] * weight(part[i * step]);
  }
  const float inverse = l == 0.0f ? 0.0f : 1.0f / l;
  const Row to = task[Operand::O].row(batch, head, row);
  for (int f = 0; f < p.Dv; f += V::lanes) {
    const int n = Registers<Target>::min(p.Dv - f, V::lanes);
    F sum = {};
    for (int i = 0; i < parts; ++i) {
      const Row from{
          const_cast<float*>(part + i * step + 2), Dtype::float32, 1};
      sum += V::load_features(from, f, n) * (weight(part[i * step]) * inverse);
    }
    V::store_features(to, f, n, sum);
  }
  const bool alone = l == 1.0f && top == sink_shift;
  task[Operand::L].at<float>(batch, head, row) =
      alone ? sink : top * V::ln2 + __builtin_logf(l);
}

} // namespace tessera::cpu
