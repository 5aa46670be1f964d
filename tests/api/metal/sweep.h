#pragma once

#include <string>
#include <vector>

#include "api/metal/harness.h"

// Cases for the kernels' text, executed, against the reference.
namespace tessera::test {

inline void check_on_metal(
    const Case& c,
    metal::Family family = metal::Family::m1,
    double seconds = metal::launch_seconds,
    metal::Options options = {}) {
  SCOPED_TRACE(std::string(metal::name(family)) + " " + describe(c, {}));
  const auto inputs = random_inputs(c);
  const auto expected = expect(c.problem, c.scalars(), inputs);
  const auto got = on_metal(
      c, inputs, family, seconds, std::make_shared<ExecutorLauncher>(options));
  EXPECT_EQ(difference(expected, got), "");
}

// A drawn case that the executor takes in about a second; `adapt` sets what is
// to be tried.
template <class Adapt>
Case affordable_case(unsigned seed, Adapt adapt) {
  for (;; seed += 1000) {
    Case c = random_case(seed);
    adapt(c);
    if (cost(c.problem) <= 1e7) {
      return c;
    }
  }
}

inline metal::Family family_for(unsigned seed) {
  return metal::families[seed % std::size(metal::families)];
}

} // namespace tessera::test
