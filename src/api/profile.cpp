#include "api/profile.h"

#include <mutex>

namespace tessera {

namespace {

std::mutex mutex;
AttentionProfile total;

} // namespace

AttentionProfile attention_profile() {
  std::lock_guard lock(mutex);
  return total;
}

double useful_flops(const Problem& problem) {
  double pairs = 0;
  for (int row = 0; row < problem.Nq; ++row) {
    pairs += problem.mask().span(row).size();
  }
  // S = Q K^T and O = P V; dQ = dS K and dP = dO V^T with S again; dV = P^T dO
  // and dK = dS^T Q, for which S and dP are made once more.
  double features = problem.pass == Pass::dQ ? 2.0 * problem.D + problem.Dv
                                             : 1.0 * problem.D + problem.Dv;
  return 2 * features * pairs * problem.B * problem.Hq;
}

void record_attention(std::chrono::nanoseconds time, double work) {
  std::lock_guard lock(mutex);
  total.calls += 1;
  total.seconds += std::chrono::duration<double>(time).count();
  total.flops += work;
}

} // namespace tessera
