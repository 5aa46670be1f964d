#include "bench/tune/pass.h"

#include <limits>
#include <utility>

#include "api/metal/backend.h"
#include "api/node/cpu_call.h"
#include "api/tuning.h"
#include "check/case.h"
#include "plan/metal/planner.h"
#include "plan/tuner.h"

namespace tessera::bench {

namespace {

constexpr double failed = std::numeric_limits<double>::infinity();

class PassTuning {
 public:
  PassTuning(const TuneSubject& subject, const Table& base)
      : s_(subject),
        base_(base),
        problem_(problem_of(subject.attention, subject.pass)),
        candidates_(subject.target.candidates(problem_)) {}

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
    return s_.ours.time(s_.pass);
  }

  double mlx_seconds() {
    if (!s_.mlx.skipped.empty()) {
      return failed;
    }
    try {
      return s_.mlx.time(s_.pass);
    } catch (const std::exception& error) {
      s_.mlx.skipped = error.what();
      return failed;
    }
  }

  void use(Blocks blocks) const {
    Table table = base_;
    table[s_.target.key(problem_)] = {blocks.rows, blocks.columns, false};
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
    one.attention = s_.attention;
    one.pass = s_.pass == Pass::forward ? "forward" : "backward";
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

  const TuneSubject& s_;
  const Table& base_;
  Problem problem_;
  std::vector<Blocks> candidates_;
};

} // namespace

TuneTarget this_target() {
  const auto gpu = metal_backend(mx::default_stream(mx::default_device()));
  if (!gpu) {
    return {
        [](const Problem& p) { return candidates(p, cpu_device()); },
        [](const Problem& p) {
          return key_of(p, cpu_device());
        }};
  }
  return {
      [family = gpu->family](const Problem& p) {
        return metal::candidates(p, family);
      },
      [machine = machine_of(*gpu)](const Problem& p) {
        return key_of(p, machine);
      }};
}

std::optional<TunedPass> tune_pass(
    const TuneSubject& subject,
    const Table& base,
    int rounds,
    const std::function<bool()>& should_stop) {
  return PassTuning(subject, base).run(rounds, should_stop);
}

} // namespace tessera::bench
