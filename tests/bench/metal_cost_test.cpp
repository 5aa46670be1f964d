#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "metal/count.h"
#include "metal/fit.h"
#include "metal/mfa.h"

// The cost model's numbers against where they come from: the executor, and the
// shares that MFA publishes.
namespace tessera::bench {
namespace {

using metal::Family;

// A line of the stored predictions.
struct Row {
  std::string kernel;
  Family family{};
  metal::Plan plan; // what a prediction reads of it
  metal::Cost cost;
  double share = 0;
  double left_out = 0;
  double published = 0; // as MFA counts
};

Row row_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> cells;
  for (std::string cell; std::getline(in, cell, ',');) {
    cells.push_back(cell.substr(
        cell.find_first_not_of(' ') == cell.npos
            ? cell.size()
            : cell.find_first_not_of(' ')));
  }
  const auto number = [&](std::size_t i) {
    return i < cells.size() && !cells[i].empty() ? std::stod(cells[i]) : 0;
  };
  Row row;
  row.kernel = cells.at(0);
  for (const Family family : metal::families) {
    row.family = name(family) == cells.at(1) ? family : row.family;
  }
  for (const auto pass :
       {metal::Pass::forward, metal::Pass::dq, metal::Pass::dkv}) {
    row.plan.pass = name(pass) == cells.at(2) ? pass : row.plan.pass;
  }
  row.plan.dtype = cells.at(3) == "float32" ? Dtype::float32 : Dtype::float16;
  row.plan.D = row.plan.Dv = std::stoi(cells.at(4));
  row.cost = {
      number(5),
      number(6),
      number(7),
      number(8),
      number(9),
      number(10),
      number(11)};
  row.share = number(12);
  row.left_out = number(13);
  row.published = number(14);
  return row;
}

std::vector<Row> stored(const std::string& kernel) {
  std::ifstream file(TESSERA_METAL_RESULTS "/2026-11-24.csv");
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kernel + ",")) {
      rows.push_back(row_of(line));
    }
  }
  return rows;
}

constexpr double rounded = 0.00005; // four decimals are stored

TEST(MetalCostModel, GivesTheStoredPredictions) {
  for (const auto& [kernel, count] :
       {std::pair("mfa", 6u), std::pair("tessera", 96u)}) {
    const auto rows = stored(kernel);
    EXPECT_EQ(rows.size(), count);
    for (const auto& row : rows) {
      EXPECT_NEAR(
          predict(row.plan, row.cost, metal::machine(row.family)).share,
          row.share,
          rounded)
          << kernel << " " << name(row.family) << " D " << row.plan.D;
    }
  }
}

TEST(MetalCostModel, IsFittedToWhatIsPublished) {
  const auto rows = stored("mfa");
  for (const Family family : {Family::m1, Family::m3}) {
    std::vector<Point> points;
    std::vector<double> left_out;
    for (const auto& row : rows) {
      if (row.family == family) {
        points.push_back(
            {row.plan, row.cost, row.published / as_mfa_counts(row.plan)});
        left_out.push_back(row.left_out);
      }
    }
    const auto machine = metal::machine(family);
    EXPECT_EQ(fit_overlap(points, machine), machine.overlap);
    const auto got = leave_one_out(points, machine);
    ASSERT_EQ(got.size(), left_out.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], left_out[i], rounded);
    }
  }
}

// Of a machine that is known, the fit finds the overlap.
TEST(MetalCostModel, FitFindsWhatMadeThePoints) {
  auto machine = metal::machine(Family::m1);
  machine.overlap = 3.17;
  std::vector<Point> points;
  for (const auto& row : stored("mfa")) {
    points.push_back(
        {row.plan, row.cost, predict(row.plan, row.cost, machine).share});
  }
  EXPECT_EQ(fit_overlap(points, metal::machine(Family::m1)), 3.17);
}

TEST(MetalCostModel, PublishedSharesAreStoredWithTheCountsOfOurGenerator) {
  const auto rows = stored("mfa");
  const auto table = published();
  ASSERT_EQ(rows.size(), table.size());
  for (std::size_t i = 0; i < table.size(); ++i) {
    EXPECT_EQ(rows[i].family, table[i].family);
    EXPECT_EQ(rows[i].plan.D, table[i].plan.D);
    EXPECT_EQ(rows[i].published, table[i].share);
    EXPECT_EQ(rows[i].cost, count(table[i].plan)) << i;
  }
}

// Of each pass and dtype the first plan.
TEST(MetalCostModel, TableHoldsWhatTheExecutorCounts) {
  const metal::Plan* before = nullptr;
  int checked = 0;
  for (const auto& [plan, cost] : metal::counted_plans()) {
    if (before == nullptr || before->pass != plan.pass ||
        before->dtype != plan.dtype) {
      EXPECT_EQ(cost, count(plan))
          << name(plan.pass)
          << ": write src/plan/metal/cost_table.h again with `bench_metal "
             "table`";
      ++checked;
    }
    before = &plan;
  }
  EXPECT_EQ(checked, 6);
}

TEST(MetalCostModel, Bfloat16CountsAsFloat16) {
  metal::Plan plan = metal::counted_plans().front().plan;
  ASSERT_EQ(plan.dtype, Dtype::float16);
  plan.dtype = Dtype::bfloat16;
  EXPECT_EQ(count(plan), metal::counted_plans().front().cost);
}

// What is done once a threadgroup is in none of the counts.
TEST(MetalCostModel, CountsGrowByTiles) {
  const auto plan = metal::counted_plans().front().plan;
  const auto at = [&](int tiles) {
    return count_launch(plan, tiles * plan.columns).device_bytes_loaded;
  };
  EXPECT_EQ(at(3) - at(2), at(2) - at(1));
  EXPECT_GT(at(1), at(2) - at(1));
}

} // namespace
} // namespace tessera::bench
