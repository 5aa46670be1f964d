#pragma once

#include <functional>
#include <string>
#include <vector>

#include "plan/device.h"
#include "plan/planner.h"
#include "tessera/bench.h"

namespace tessera::bench {

// One thing to time: what `run` does is `work`, in floating-point operations
// that the result needs, or in bytes. `rate`, where there is one, is asked for
// work a second instead.
struct Contender {
  std::string name;
  double work = 0;
  std::function<void()> run;
  std::function<double()> rate = nullptr;
  const char* unit = "GF/s";
};

// How the kernels are to run.
struct Setting {
  Device device;
  Blocks blocks; // 0 x 0: planned
};

// One file each. Of a case forward and backward, and dbias where it has a bias.
std::vector<Contender> tessera_cpu(
    const AttentionCase& c, const Setting& setting);
Contender openblas_sgemm(int N);
Contender peak(const char* name, Isa isa, Dtype dtype, int threads);
// Reads as many bytes as the case's K and V have, on all threads.
Contender streaming_read(const AttentionCase& c, int threads);

// The bytes of K and V.
double key_bytes(const AttentionCase& c);

} // namespace tessera::bench
