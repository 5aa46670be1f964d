#include "bench/tune/tune.h"

#include <memory>
#include <utility>

#include "api/tuning.h"
#include "bench/contender.h"
#include "bench/tune/pass.h"
#include "check/case.h"
#include "tessera/error.h"

namespace tessera {

namespace {

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
  const auto target = bench::this_target();
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
      const auto found = bench::tune_pass(
          {c, pass, target, *ours, *mlx}, table, options.rounds, should_stop);
      if (found) {
        const auto problem = cases::problem_of(c, pass);
        const auto key = target.key(problem);
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
