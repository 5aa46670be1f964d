#include <gtest/gtest.h>

#include "backend/cpu/sweep.h"

// Problems of any size with any features, each from its seed alone: a failure
// prints the seed. `ctest -C nightly` goes on from where this ends.
namespace tessera::test {
namespace {

TEST(Fuzz, AgreesWithTheReference) {
  for (unsigned seed = 1; seed <= fuzz_count; ++seed) {
    fuzz(seed);
  }
}

} // namespace
} // namespace tessera::test
