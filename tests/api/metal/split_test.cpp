#include <gtest/gtest.h>

#include "api/metal/sweep.h"

// Launches are bounded; how a call is cut changes nothing that it computes.
namespace tessera::test {
namespace {

struct Split {
  std::string what;
  Case c;
};

std::vector<Split> splits() {
  std::vector<Split> all = {
      {"dense", make_case(150, 140, 16, false, 4, 2)},
      {"causal", make_case(140, 150, 24, true, 4, 2)},
      {"few", make_case(5, 900, 16, true, 4, 2)},
      {"bias by rows", make_case(90, 70, 16, false)},
      {"bias over all", make_case(90, 70, 8, false)},
      {"alibi", make_case(130, 130, 8, true)}};
  all[2].c.problem.features.sinks = true;
  all[3].c.problem.features.bias = true;
  all[3].c.bias.single = {true, false, false, false};
  all[4].c.problem.features.bias = true;
  all[4].c.bias.single = {true, true, true, false};
  all[5].c.problem.features.alibi = true;
  return all;
}

int launches_of(metal::Pass pass, const ExecutorLauncher& launcher) {
  int count = 0;
  for (const auto& [plan, counts] : launcher.executed) {
    count += plan.pass == pass ? 1 : 0;
  }
  return count;
}

TEST(MetalSplit, ChangesNoBit) {
  for (auto& [what, c] : splits()) {
    SCOPED_TRACE(what);
    const auto inputs = random_inputs(c);
    const auto whole =
        on_metal(c, inputs, metal::Family::m1, metal::launch_seconds);
    EXPECT_EQ(difference(expect(c.problem, c.scalars(), inputs), whole), "");
    for (const double seconds : {1e-5, 1e-6}) {
      auto launcher = std::make_shared<ExecutorLauncher>();
      const auto parts =
          on_metal(c, inputs, metal::Family::m1, seconds, launcher);
      EXPECT_TRUE(same_bits(whole, parts)) << seconds;
      if (seconds == 1e-6) {
        EXPECT_GT(launches_of(metal::Pass::forward, *launcher), 1);
        EXPECT_GT(launches_of(metal::Pass::dkv, *launcher), 1);
        EXPECT_GT(launches_of(metal::Pass::dq, *launcher), 1);
      }
      if (seconds == 1e-6 && what == "dense") {
        EXPECT_GT(launches_of(metal::Pass::delta, *launcher), 1);
      }
      if (seconds == 1e-6 && c.problem.features.bias) {
        EXPECT_GT(launches_of(metal::Pass::dbias, *launcher), 1);
      }
    }
  }
}

// Several orders of threads, simdgroups and threadgroups, and uninitialised
// registers filled otherwise, give the same bits.
TEST(MetalOrder, ChangesNoBit) {
  metal::Options options;
  options.schedules = 3;
  options.registers = true;
  const auto cases = splits();
  for (const int i : {1, 2, 4}) {
    check_on_metal(
        cases[static_cast<std::size_t>(i)].c,
        metal::Family::m1,
        metal::launch_seconds,
        options);
  }
}

} // namespace
} // namespace tessera::test
