#include "plan/workspace.h"

#include <algorithm>

namespace tessera {

namespace {

// Hands out consecutive buffers, each on a 64-byte boundary.
class Cursor {
 public:
  std::size_t take(int a, int b) {
    const std::size_t start = end_;
    const auto floats =
        static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
    end_ += (floats + 15) / 16 * 16;
    return start;
  }
  std::size_t end() const {
    return end_;
  }

 private:
  std::size_t end_ = 0;
};

} // namespace

Workspace workspace(const Problem& problem, const Plan& plan) {
  const auto tile = register_tile(plan.isa);
  const int width = tile.width();
  const int stationary = round_up(plan.stationary(), width);
  const int traversal = plan.traversal() + tile.rows;
  const int features_a = round_up(problem.D, width);
  const int features_b = round_up(problem.Dv, width);
  const bool backward = problem.pass != Pass::forward;

  Workspace w;
  Cursor cursor;
  w.stationary_a = cursor.take(stationary, problem.D);
  w.stationary_b = cursor.take(backward ? stationary : 0, problem.Dv);
  w.traversal_a = cursor.take(traversal, features_a);
  w.traversal_b = cursor.take(traversal, features_b);
  w.tile_S = cursor.take(traversal, width);
  w.tile_dP = cursor.take(backward ? traversal : 0, width);
  w.accumulator_a = cursor.take(backward ? stationary : 0, features_a);
  w.accumulator_b =
      cursor.take(problem.pass == Pass::dQ ? 0 : stationary, features_b);
  w.statistics_length = round_up(std::max(stationary, traversal), width);
  w.statistics = cursor.take(Workspace::statistics_rows, w.statistics_length);
  w.floats = cursor.end();
  return w;
}

} // namespace tessera
