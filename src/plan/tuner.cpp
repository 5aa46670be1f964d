#include "plan/tuner.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

} // namespace

Tuner::Tuner(int candidates, int rounds, double slack)
    : candidates_(static_cast<std::size_t>(std::max(candidates, 0))),
      rounds_(candidates_.empty() ? 0 : rounds),
      slack_(slack) {}

bool Tuner::done() const {
  return round_ >= rounds_;
}

int Tuner::next() const {
  return static_cast<int>(current_);
}

void Tuner::report(double cost) {
  auto& candidate = candidates_[current_];
  if (std::isfinite(cost)) {
    auto& costs = candidate.costs;
    costs.insert(std::upper_bound(costs.begin(), costs.end(), cost), cost);
  } else {
    candidate.out = true;
  }
  advance();
}

void Tuner::advance() {
  while (!done()) {
    if (++current_ == candidates_.size()) {
      current_ = 0;
      ++round_;
      prune();
    }
    if (!candidates_[current_].out) {
      return;
    }
    // Every candidate is out: the rounds that are left pass without one.
  }
}

void Tuner::prune() {
  if (round_ < 2) {
    return;
  }
  double least = infinite;
  for (const auto& candidate : candidates_) {
    if (!candidate.out) {
      least = std::min(least, candidate.costs.front());
    }
  }
  for (auto& candidate : candidates_) {
    candidate.out = candidate.out || candidate.costs.front() > slack_ * least;
  }
}

int Tuner::best() const {
  int best = -1;
  for (int i = 0; i < static_cast<int>(candidates_.size()); ++i) {
    const auto& candidate = candidates_[static_cast<std::size_t>(i)];
    if (!candidate.out && !candidate.costs.empty() &&
        (best < 0 || cost(i) < cost(best))) {
      best = i;
    }
  }
  return best;
}

double Tuner::cost(int candidate) const {
  const auto& costs = candidates_[static_cast<std::size_t>(candidate)].costs;
  return costs.empty() ? infinite : costs[costs.size() / 2];
}

} // namespace tessera
