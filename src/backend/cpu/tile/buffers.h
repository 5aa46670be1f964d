#pragma once

#include "backend/cpu/tile/panel.h"

namespace tessera::cpu {

// The buffers of one thread, with the shapes that turn them into panels.
template <class Target>
struct Buffers : Panel<Target> {
  using P = Panel<Target>;
  using V = typename P::V;
  using F = typename P::F;

  Buffers(const Task& task, float* memory)
      : stationary_a(memory + task.workspace.stationary_a),
        stationary_b(memory + task.workspace.stationary_b),
        traversal_a(memory + task.workspace.traversal_a),
        traversal_b(memory + task.workspace.traversal_b),
        S(memory + task.workspace.tile_S),
        dP(memory + task.workspace.tile_dP),
        accumulator_a(memory + task.workspace.accumulator_a),
        accumulator_b(memory + task.workspace.accumulator_b),
        height(task.plan.traversal() + P::strip),
        depth(round_up(task.plan.stationary(), P::width)),
        statistics_(memory + task.workspace.statistics),
        statistics_length_(task.workspace.statistics_length) {}

  float* statistic(int index) const {
    return statistics_ + P::offset(index, statistics_length_);
  }

  // A tile = traversal operand times one panel of the stationary one.
  template <int n>
  void multiply(
      float* tile,
      const float* traversal,
      const float* stationary,
      int features,
      int panel,
      Span t) const {
    P::template multiply<n>(
        tile,
        traversal,
        height,
        stationary + P::offset(panel * features, P::width),
        features,
        t);
  }

  // The accumulator's rows of one panel of the stationary operand, plus the
  // transposed tile times the traversal operand.
  void accumulate(
      float* accumulator,
      const float* tile,
      const float* traversal,
      int features,
      int panel,
      int rows,
      Span t) const {
    for (int f = 0; f < features; f += P::width) {
      float* C = accumulator +
          P::offset(f / P::width * depth + panel * P::width, P::width);
      const float* B = traversal + P::offset(f / P::width * height, P::width);
      P::with_vectors(P::vectors_for(features - f), [&]<int n>() {
        P::template accumulate<n>(C, rows, tile, B, t);
      });
    }
  }

  void clear(float* accumulator, int features) const {
    const auto floats = P::offset(depth, round_up(features, P::width));
    __builtin_memset(
        accumulator, 0, static_cast<std::size_t>(floats) * sizeof(float));
  }

  // Row r of an accumulator, times factor, into the row of an output.
  void write(
      const Row& to,
      const float* accumulator,
      int features,
      int r,
      float factor) const {
    for (int f = 0; f < features; f += P::lanes) {
      const float* from = accumulator +
          P::offset(f / P::width * depth + r, P::width) + f % P::width;
      V::store_features(
          to,
          f,
          P::min(features - f, P::lanes),
          V::template load<F>(from) * factor);
    }
  }

  float* stationary_a;
  float* stationary_b;
  float* traversal_a;
  float* traversal_b;
  float* S;
  float* dP;
  float* accumulator_a;
  float* accumulator_b;
  int height; // rows of a packed traversal operand
  int depth;  // rows of an accumulator

 private:
  float* statistics_;
  int statistics_length_;
};

} // namespace tessera::cpu
