#include "bench/measure/measure.h"

#include <fmt/format.h>

#include <map>
#include <string>

#include "bench/measure/spread.h"
#include "check/check.h"

namespace tessera::bench {

namespace {

using Seconds = std::map<std::string, std::vector<double>>;

std::string name_of(Pass pass) {
  return pass == Pass::forward ? "forward" : "backward";
}

std::vector<Pass> passes_of(const BenchmarkOptions& options) {
  std::vector<Pass> passes;
  if (options.forward) {
    passes.push_back(Pass::forward);
  }
  if (options.backward) {
    passes.push_back(Pass::backward);
  }
  return passes;
}

bool is_ours(const Contender& contender) {
  return contender.name == "flash";
}

// Two products forward; dV, dP, dQ, dK and S again backward.
double flops(const AttentionCase& c, Pass pass, double pairs) {
  const double features =
      pass == Pass::forward ? 1.0 * c.D + c.Dv : 3.0 * c.D + 2.0 * c.Dv;
  return 2 * features * pairs;
}

template <class Work>
void guarded(Contender& contender, Work work) {
  if (!contender.skipped.empty()) {
    return;
  }
  try {
    work();
  } catch (const std::exception& error) {
    contender.skipped = error.what();
  }
}

// What is done once: the comparison, the memory, and with it the warm-up. MLX's
// op may take a while on what is the check of ours: forward alone.
ContenderResult first(
    const Arrays& arrays, Contender& contender, bool backward) {
  ContenderResult result;
  result.name = contender.name;
  result.path = contender.path;
  guarded(contender, [&] {
    result.error =
        error_of(arrays, contender, backward && contender.path != "mlx");
    if (is_ours(contender) && result.error && !(*result.error <= 1)) {
      contender.skipped = fmt::format(
          "wrong: {:.3g} times what plain formulas may be off", *result.error);
    }
  });
  guarded(contender, [&] { result.memory = contender.memory(backward); });
  return result;
}

void time_round(
    Contenders& contenders,
    const std::vector<Pass>& passes,
    std::vector<Seconds>& seconds) {
  for (const Pass pass : passes) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      guarded(*contenders[i], [&] {
        seconds[i][name_of(pass)].push_back(contenders[i]->time(pass));
      });
    }
  }
}

void finish(
    ContenderResult& cell, const Contender& contender, const Seconds& seconds) {
  cell.skipped = contender.skipped;
  cell.failed = is_ours(contender) && !cell.skipped.empty();
  if (!cell.skipped.empty()) {
    cell.memory.reset();
    return;
  }
  for (const auto& [name, values] : seconds) {
    cell.passes[name] = spread_of(values);
    cell.time += cell.passes[name].median;
  }
}

void compare(CaseResult& result) {
  const auto& mlx = result.contenders[0];
  const auto& flash = result.contenders[1];
  if (mlx.skipped.empty() && flash.time > 0) {
    result.speedup = mlx.time / flash.time;
  }
  if (mlx.memory && flash.memory && *mlx.memory > 0) {
    result.memory_reduction = static_cast<double>(*mlx.memory - *flash.memory) /
        static_cast<double>(*mlx.memory);
  }
}

} // namespace

std::optional<CaseResult> measure(
    const Arrays& arrays,
    Contenders& contenders,
    const BenchmarkOptions& options,
    const std::function<bool()>& should_stop) {
  CaseResult result;
  result.attention = arrays.attention;
  for (auto& contender : contenders) {
    result.contenders.push_back(first(arrays, *contender, options.backward));
  }
  const auto passes = passes_of(options);
  std::vector<Seconds> seconds(contenders.size());
  for (int round = 0; round < options.rounds; ++round) {
    if (should_stop()) {
      return std::nullopt;
    }
    time_round(contenders, passes, seconds);
  }
  const double pairs = seen_pairs(arrays);
  for (const Pass pass : passes) {
    result.flops[name_of(pass)] = flops(arrays.attention, pass, pairs);
  }
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    finish(result.contenders[i], *contenders[i], seconds[i]);
  }
  compare(result);
  return result;
}

} // namespace tessera::bench
