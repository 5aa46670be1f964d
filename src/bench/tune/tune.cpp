#include "bench/tune/tune.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "api/node/cpu_call.h"
#include "api/tuning.h"
#include "bench/contender.h"
#include "check/case.h"
#include "plan/planner.h"
#include "plan/tuner.h"
#include "tessera/error.h"

namespace tessera {

namespace {

using bench::Contender;

constexpr double failed = std::numeric_limits<double>::infinity();

// One pass of one case. Its candidates are measured through the public op, with
// a table of a single entry in use: what is timed is what a user gets.
class PassTuning {
 public:
  PassTuning(
      const Table& base,
      const cases::Arrays& arrays,
      Contender& ours,
      Contender& mlx,
      Pass pass)
      : base_(base),
        arrays_(arrays),
        ours_(ours),
        mlx_(mlx),
        pass_(pass),
        problem_(cases::problem_of(arrays.attention, pass)),
        device_(cpu_device()),
        // The planner's own choice is first: it wins a tie.
        candidates_(candidates(problem_, device_)) {}

  // Nothing where no candidate can be run, or it was stopped.
  std::optional<TunedPass> run(
      int rounds, const std::function<bool()>& should_stop) {
    const int count = static_cast<int>(candidates_.size());
    // MLX's op is one candidate more, at the end.
    Tuner tuner(count + 1, rounds);
    for (int i = 0; i <= count; ++i) {
      seconds(i); // warms up
    }
    while (!tuner.done()) {
      if (should_stop()) {
        return std::nullopt;
      }
      tuner.report(seconds(tuner.next()));
    }
    return result(tuner, count);
  }

 private:
  double seconds(int candidate) {
    if (candidate == static_cast<int>(candidates_.size())) {
      return mlx_seconds();
    }
    use(candidates_[static_cast<std::size_t>(candidate)]);
    return ours_.time(pass_);
  }

  double mlx_seconds() {
    if (!mlx_.skipped.empty()) {
      return failed;
    }
    try {
      return mlx_.time(pass_);
    } catch (const std::exception& error) {
      mlx_.skipped = error.what();
      return failed;
    }
  }

  void use(Blocks blocks) const {
    Table table = base_;
    table[key_of(problem_, device_)] = {blocks.rows, blocks.columns, false};
    use_table(std::move(table));
  }

  std::optional<TunedPass> result(const Tuner& tuner, int count) const {
    int best = -1;
    for (int i = 0; i < count; ++i) {
      if (tuner.cost(i) < failed &&
          (best < 0 || tuner.cost(i) < tuner.cost(best))) {
        best = i;
      }
    }
    if (best < 0) {
      return std::nullopt;
    }
    const auto blocks = candidates_[static_cast<std::size_t>(best)];
    TunedPass one;
    one.attention = arrays_.attention;
    one.pass = pass_ == Pass::forward ? "forward" : "backward";
    one.candidates = count;
    one.seconds = tuner.cost(best);
    one.planned_seconds = tuner.cost(0);
    if (tuner.cost(count) < failed) {
      one.mlx_seconds = tuner.cost(count);
    }
    one.best = {
        blocks.rows, blocks.columns, tuner.cost(count) < tuner.cost(best)};
    return one;
  }

  const Table& base_;
  const cases::Arrays& arrays_;
  Contender& ours_;
  Contender& mlx_;
  Pass pass_;
  Problem problem_;
  Device device_;
  std::vector<Blocks> candidates_;
};

// Block sizes that were asked for would be measured instead of the candidates.
void check(const AttentionCase& c) {
  if (c.block_size != 0) {
    reject(
        "tune",
        "expected no --flash-block-size, which leaves nothing to tune; got {}",
        c.block_size);
  }
  if (c.implementation == Implementation::mlx) {
    reject(
        "tune",
        "expected tessera's own attention, whose blocks are tuned; got "
        "--use-flash-attention off");
  }
}

} // namespace

Table tune(
    Table table,
    const TuneOptions& options,
    const std::function<void(const TunedPass&)>& tuned,
    const std::function<bool()>& should_stop) {
  for (auto c : options.cases) {
    check(c);
    c.implementation = Implementation::tessera;
    bench::tessera_contender(cases::empty_arrays(c)); // refusals come first
  }
  Table all_found;
  for (auto c : options.cases) {
    c.implementation = Implementation::tessera;
    const auto arrays = cases::random_arrays(c, false);
    const auto ours = bench::tessera_contender(arrays);
    const auto mlx = bench::mlx_contender(arrays, options.backward);
    for (const Pass pass : {Pass::forward, Pass::backward}) {
      if (!(pass == Pass::forward ? options.forward : options.backward)) {
        continue;
      }
      PassTuning tuning(table, arrays, *ours, *mlx, pass);
      const auto found = tuning.run(options.rounds, should_stop);
      if (found) {
        const auto problem = cases::problem_of(c, pass);
        const auto key = key_of(problem, cpu_device());
        table[key] = all_found[key] = found->best;
        tuned(*found);
      }
      use_table(table);
      if (should_stop()) {
        return all_found;
      }
    }
  }
  return all_found;
}

} // namespace tessera
