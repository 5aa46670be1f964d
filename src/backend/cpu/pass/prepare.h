#pragma once

#include "backend/cpu/shared.h"
#include "backend/cpu/tile/pack.h"

namespace tessera::cpu {

template <class Target>
float scalar(const Row& row) {
  return Vec<Target>::load_features(row, 0, 1)[0];
}

template <class Target>
float row_dot(const Row& a, const Row& b, int features) {
  using V = Vec<Target>;
  typename V::F sum = {};
  for (int f = 0; f < features; f += V::lanes) {
    const int n = features - f < V::lanes ? features - f : V::lanes;
    sum += V::load_features(a, f, n) * V::load_features(b, f, n);
  }
  return V::sum(sum);
}

template <class Target>
void clear_row(const Row& row, int features) {
  using V = Vec<Target>;
  for (int f = 0; f < features; f += V::lanes) {
    const int n = features - f < V::lanes ? features - f : V::lanes;
    V::store_features(row, f, n, typename V::F{});
  }
}

// What goes before a backward pass, for one block of rows of one head: E =
// rowsum(dO * O) - dL; the sink's gradient, -sum(exp(sink - L) * E), since its
// value is 0; dQ where no key is seen. A row of neither key nor sink has E = 0,
// whatever came back for its L of -inf (the gradient of logaddexp is NaN
// there).
template <class Target>
void prepare(
    const Task& task, Shared& shared, int batch, int head, int row_block) {
  const Problem& p = task.problem;
  const Span rows = shared.row_block(row_block);
  const bool sinks = p.features.sinks;
  const double sink = sinks ? static_cast<double>(scalar<Target>(
                                  task[Operand::sinks].row(head, 0, 0)))
                            : 0.0;
  const bool clear = task[Operand::dQ].data != nullptr &&
      !shared.touched(batch, head, row_block);
  double part = 0;
  for (int row = rows.lo; row < rows.hi; ++row) {
    const float L = task[Operand::L].at<float>(batch, head, row);
    const float E = L == -Vec<Target>::infinity
        ? 0.0f
        : row_dot<Target>(
              task[Operand::O].row(batch, head, row),
              task[Operand::dO].row(batch, head, row),
              p.Dv) -
            task[Operand::dL].at<float>(batch, head, row);
    shared.E(batch, head, row) = E;
    if (sinks) {
      // A sink of -inf has no part in a row, nor has a row without keys.
      const double P = sink == static_cast<double>(L)
          ? sink > -__builtin_inf()
          : __builtin_exp(sink - static_cast<double>(L));
      part -= P * static_cast<double>(E);
    }
    if (clear) {
      clear_row<Target>(task[Operand::dQ].row(batch, head, row), p.D);
    }
  }
  if (sinks) {
    shared.sink_part(batch, head, row_block) = static_cast<float>(part);
  }
}

// dslopes [B, Hq] and dsinks [Hq] from their parts, in a fixed order.
template <class Target>
void finish(const Task& task, Shared& shared) {
  using V = Vec<Target>;
  const Problem& p = task.problem;
  const View& dslopes = task[Operand::dslopes];
  const View& dsinks = task[Operand::dsinks];
  const auto put = [](const Row& to, double x) {
    V::store_features(to, 0, 1, V::broadcast(static_cast<float>(x)));
  };
  for (int h = 0; h < p.Hq; ++h) {
    double slope = 0;
    double sink = 0;
    for (int b = 0; b < p.B; ++b) {
      for (int c = 0; dslopes.data && c < shared.grid().column_blocks; ++c) {
        slope += static_cast<double>(shared.slope_part(b, h, c));
      }
      for (int r = 0; dsinks.data && r < shared.grid().row_blocks; ++r) {
        sink += static_cast<double>(shared.sink_part(b, h, r));
      }
      if (dslopes.data != nullptr && dslopes.strides[0] != 0) {
        put(dslopes.row(b, h, 0), slope);
        slope = 0;
      }
    }
    if (dslopes.data != nullptr && dslopes.strides[0] == 0) {
      put(dslopes.row(0, h, 0), slope);
    }
    if (dsinks.data != nullptr) {
      put(dsinks.row(h, 0, 0), sink);
    }
  }
}

} // namespace tessera::cpu
