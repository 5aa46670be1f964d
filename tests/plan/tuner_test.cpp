#include "plan/tuner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace tessera {
namespace {

// Drives a tuner to its end; returns how often each candidate was measured.
std::vector<int> drive(
    Tuner& tuner,
    int candidates,
    const std::function<double(int candidate, int time)>& cost) {
  std::vector<int> times(static_cast<std::size_t>(candidates), 0);
  while (!tuner.done()) {
    const int candidate = tuner.next();
    auto& time = times[static_cast<std::size_t>(candidate)];
    tuner.report(cost(candidate, time++));
  }
  return times;
}

TEST(Tuner, FindsTheCheapest) {
  const double costs[] = {3.0, 1.1, 1.0, 1.2};
  Tuner tuner(4, 5);
  drive(tuner, 4, [&](int i, int) { return costs[i]; });
  EXPECT_EQ(tuner.best(), 2);
  EXPECT_EQ(tuner.cost(2), 1.0);
}

TEST(Tuner, AsksInTurnSoThatAllSeeTheSameMachine) {
  Tuner tuner(3, 2, 100);
  std::vector<int> order;
  while (!tuner.done()) {
    order.push_back(tuner.next());
    tuner.report(1);
  }
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 0, 1, 2}));
}

TEST(Tuner, AnOutlierDoesNotDecide) {
  // One slow and one lucky measurement: the median passes over both.
  Tuner tuner(2, 5);
  drive(tuner, 2, [](int i, int time) {
    return i == 0 ? (time == 1 ? 9.0 : 1.0) : (time == 3 ? 0.9 : 1.1);
  });
  EXPECT_EQ(tuner.best(), 0);
}

TEST(Tuner, DropsWhatCannotComeBack) {
  Tuner tuner(3, 6, 1.25);
  const auto times =
      drive(tuner, 3, [](int i, int) { return i == 1 ? 2.0 : 1.0 + 0.01 * i; });
  EXPECT_EQ(times, (std::vector<int>{6, 2, 6}));
  EXPECT_EQ(tuner.best(), 0);
}

TEST(Tuner, TheFirstWinsATie) {
  Tuner tuner(3, 3);
  drive(tuner, 3, [](int, int) { return 1.0; });
  EXPECT_EQ(tuner.best(), 0);
}

TEST(Tuner, AFailureIsOut) {
  Tuner tuner(2, 4);
  const auto times = drive(tuner, 2, [](int i, int) {
    return i == 0 ? std::numeric_limits<double>::infinity() : 5.0;
  });
  EXPECT_EQ(times, (std::vector<int>{1, 4}));
  EXPECT_EQ(tuner.best(), 1);
}

TEST(Tuner, EndsWhereAllFailOrThereIsNone) {
  Tuner failing(3, 4);
  const auto times = drive(failing, 3, [](int, int) { return std::nan(""); });
  EXPECT_EQ(times, (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(failing.best(), -1);
  EXPECT_TRUE(Tuner(0, 4).done());
  EXPECT_EQ(Tuner(0, 4).best(), -1);
  EXPECT_TRUE(Tuner(4, 0).done());
}

TEST(Tuner, KnowsTheBestSoFar) {
  Tuner tuner(2, 3);
  EXPECT_EQ(tuner.best(), -1);
  tuner.report(2);
  EXPECT_EQ(tuner.best(), 0);
  tuner.report(1);
  EXPECT_EQ(tuner.best(), 1);
  EXPECT_EQ(tuner.cost(0), 2);
}

} // namespace
} // namespace tessera
