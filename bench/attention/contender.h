#pragma once

#include <functional>
#include <string>
#include <vector>

#include "plan/problem.h"

namespace tessera::bench {

// One thing to time: `run` does `operations` floating-point operations, those
// of scores that the mask keeps alone.
struct Contender {
  std::string name;
  double operations = 0;
  std::function<void()> run;
};

// One file each.
std::vector<Contender> tessera_cpu(const Problem& problem, int block_size);
Contender openblas_sgemm(int N);

} // namespace tessera::bench
