#include "bench/tune/tune.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>

#include "api/tuning.h"
#include "bench/tune/pass.h"
#include "check/case.h"

// The tuner with a clock of the tests' own, for any device.
namespace tessera::bench {
namespace {

const Machine gpu = {"Apple M9", "metal m4"};

const std::vector<Blocks> blocks = {{64, 32}, {32, 16}, {128, 8}};

TuneTarget fake_target() {
  return {
      [](const Problem&) { return blocks; },
      [](const Problem& p) {
        return key_of(p, gpu);
      }};
}

// Takes as long as a test says of the blocks that the table in use has.
class Timed : public Contender {
 public:
  explicit Timed(std::map<int, double> by_rows) : by_rows_(by_rows) {}

  double time(Pass pass) override {
    const auto entry = lookup(table_in_use(), problem_of({}, pass), gpu);
    const double seconds = by_rows_.at(entry ? entry->rows : 0);
    if (seconds < 0) {
      throw std::runtime_error("expected a shape that fits; got another");
    }
    return seconds;
  }
  std::optional<std::int64_t> memory(bool) override {
    return std::nullopt;
  }
  std::optional<Values> values(const mx::array&, bool) override {
    return std::nullopt;
  }

 private:
  std::map<int, double> by_rows_;
};

class TunePass : public testing::Test {
 protected:
  // MLX's op takes `mlx` seconds, whatever the table says.
  std::optional<TunedPass> tune(std::map<int, double> ours, double mlx) {
    Timed timed(std::move(ours));
    Timed other({{0, mlx}, {64, mlx}, {32, mlx}, {128, mlx}});
    return tune_pass(
        {attention, Pass::backward, target, timed, other}, base, 3, [&] {
          return stopped;
        });
  }

  const AttentionCase attention;
  const TuneTarget target = fake_target();
  const TableScope scope{Table{}};
  Table base;
  bool stopped = false;
};

TEST_F(TunePass, FindsTheFastestOfADevicesCandidates) {
  const auto found = tune({{64, 3.0}, {32, 1.0}, {128, 2.0}}, 5.0);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->best, (TableEntry{32, 16, false}));
  EXPECT_EQ(found->pass, "backward");
  EXPECT_EQ(found->candidates, 3);
  EXPECT_EQ(found->seconds, 1.0);
  EXPECT_EQ(found->planned_seconds, 3.0);
  EXPECT_EQ(found->mlx_seconds, 5.0);
}

TEST_F(TunePass, SaysWhereMlxIsFaster) {
  const auto found = tune({{64, 3.0}, {32, 2.0}, {128, 2.5}}, 1.5);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->best, (TableEntry{32, 16, true}));
}

TEST_F(TunePass, TakesThePlannersAtATie) {
  const auto found = tune({{64, 2.0}, {32, 2.0}, {128, 2.0}}, 9.0);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->best, (TableEntry{64, 32, false}));
}

TEST_F(TunePass, GoesOnWhereMlxThrows) {
  const auto found = tune({{64, 2.0}, {32, 1.0}, {128, 2.0}}, -1.0);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->best, (TableEntry{32, 16, false}));
  EXPECT_FALSE(found->mlx_seconds);
}

TEST_F(TunePass, HasNothingWhereItIsStopped) {
  stopped = true;
  EXPECT_FALSE(tune({{64, 2.0}, {32, 1.0}, {128, 2.0}}, 9.0));
}

} // namespace
} // namespace tessera::bench
