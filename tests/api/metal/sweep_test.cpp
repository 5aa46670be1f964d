#include <gtest/gtest.h>

#include "api/metal/harness.h"

// The kernels' text, executed, against the reference: a part of what the
// nightly sweep covers.
namespace tessera::test {
namespace {

// Elements of the score matrix times features that the executor takes in about
// a second.
constexpr double affordable = 2e7;

void check_on_metal(
    const Case& c,
    metal::Family family = metal::Family::m1,
    double seconds = metal::launch_seconds) {
  SCOPED_TRACE(describe(c, {}));
  const auto inputs = random_inputs(c);
  const auto expected = expect(c.problem, c.scalars(), inputs);
  EXPECT_EQ(difference(expected, on_metal(c, inputs, family, seconds)), "");
}

TEST(Metal, Fuzz) {
  unsigned checked = 0;
  for (unsigned seed = 1; checked < 40; ++seed) {
    const Case c = fuzz_case(seed);
    if (cost(c.problem) > affordable) {
      continue;
    }
    check_on_metal(c, metal::families[seed % 4]);
    ++checked;
  }
}

} // namespace
} // namespace tessera::test
