#include "backend/cpu/peak.h"

#include <algorithm>
#include <chrono>

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/share.h"

namespace tessera::cpu {

double peak_flops(Isa isa, Dtype dtype, int threads) {
  using Clock = std::chrono::steady_clock;
  Problem problem;
  problem.dtype = dtype;
  Plan plan;
  plan.isa = isa;
  const auto multiply_add = kernels_for(problem, plan).multiply_add;
  constexpr int rounds = 100'000;
  constexpr double seconds = 0.05; // of measuring
  double best = 0;
  const auto start = Clock::now();
  do {
    std::vector<double> flops(static_cast<std::size_t>(threads));
    const auto from = Clock::now();
    share(threads, threads, [&](int, int item) {
      flops[static_cast<std::size_t>(item)] = multiply_add(rounds);
    });
    const std::chrono::duration<double> took = Clock::now() - from;
    double sum = 0;
    for (const double one : flops) {
      sum += one;
    }
    best = std::max(best, sum / took.count());
  } while (std::chrono::duration<double>(Clock::now() - start).count() <
           seconds);
  return best;
}

} // namespace tessera::cpu
