#include "plan/workspace.h"

#include <algorithm>

namespace tessera {

namespace {

// Hands out consecutive buffers, each on a 64-byte boundary.
class Cursor {
 public:
  std::size_t take(bool wanted, int a, int b, int c = 1) {
    const std::size_t start = end_;
    if (wanted) {
      const auto words = static_cast<std::size_t>(a) *
          static_cast<std::size_t>(b) * static_cast<std::size_t>(c);
      end_ += (words + 15) / 16 * 16;
    }
    return start;
  }
  std::size_t end() const {
    return end_;
  }

 private:
  std::size_t end_ = 0;
};

} // namespace

int values_per_word(const Problem& problem, const Plan& plan) {
  return plan.isa >= Isa::avx512_bf16 && problem.dtype == Dtype::bfloat16 ? 2
                                                                          : 1;
}

Workspace workspace(const Problem& problem, const Plan& plan) {
  const auto tile = register_tile(plan.isa);
  const int P = tile.panel();
  const int W = tile.sum_panel();
  const int spare = tile.sum_rows; // a register tile may run over the end
  const int per_word = values_per_word(problem, plan);
  const bool pairs = per_word == 2;
  const bool backward = problem.pass != Pass::forward;
  const bool sums = problem.pass == Pass::backward;
  const bool dense = sums && !pairs; // every panel's tile stays in float32
  const auto& features = problem.features;
  const auto w = [=](int values) {
    return (values + per_word - 1) / per_word;
  };

  Workspace s;
  s.rows = round_up(plan.rows, P);
  s.columns = round_up(plan.columns, tile.unit());
  s.lanes_words = round_up(w(problem.D), tile.words);
  s.value_words = round_up(w(problem.Dv), tile.words);
  s.tile_words = (s.columns + spare) * P;
  const int panels = s.rows / P;
  const int D = round_up(problem.D, W);
  const int Dv = round_up(problem.Dv, W);
  const int D_words = round_up(s.lanes_words, W);
  const int Dv_words = round_up(s.value_words, W);

  Cursor c;
  s.Q_lanes = c.take(true, s.rows, s.lanes_words);
  s.dO_lanes = c.take(backward, s.rows, s.value_words);
  s.Q_features = c.take(sums, w(s.rows) + spare, D);
  s.dO_features = c.take(sums, w(s.rows) + spare, Dv);
  s.K_rows = c.take(true, s.columns + spare, D_words);
  s.K_features =
      backward && pairs ? c.take(true, w(s.columns) + spare, D) : s.K_rows;
  s.V_features = c.take(!backward, w(s.columns) + spare, Dv);
  s.V_rows = c.take(backward, s.columns + spare, Dv_words);
  s.S = c.take(true, s.tile_words, dense ? panels : 1);
  s.dP = c.take(backward, s.tile_words, dense ? panels : 1);
  s.added = c.take(features.mask, s.tile_words, 1);
  s.capped = c.take(backward && features.softcap, s.tile_words, 1);
  s.kept = c.take(features.dropout, s.tile_words, 1);
  s.key_pairs = c.take(pairs, s.columns / 2 + spare, P);
  s.P_pairs = c.take(sums && pairs, panels, s.tile_words / 2);
  s.dS_pairs = c.take(sums && pairs, panels, s.tile_words / 2);
  s.O = c.take(!backward, s.rows, Dv);
  s.dQ = c.take(sums, s.rows, D);
  s.dK = c.take(sums, s.columns, D);
  s.dV = c.take(sums, s.columns, Dv);
  s.dbias = c.take(problem.pass == Pass::dbias, panels, s.tile_words);
  s.dbias_words = c.end() - s.dbias;
  s.statistics_length = s.rows;
  s.statistics = c.take(true, 3, s.statistics_length);
  s.words = c.end();
  return s;
}

} // namespace tessera
