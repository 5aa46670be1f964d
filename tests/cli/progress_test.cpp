#include "cli/progress.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tessera::cli {
namespace {

TEST(Progress, DurationsReadAsClocks) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(59.4), "0:59");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(std::nan("")), "-");
  EXPECT_EQ(format_duration(-1), "-");
}

TEST(Progress, BarFillsByEighthsOfACell) {
  EXPECT_EQ(draw_bar(0.0, 4), "    ");
  EXPECT_EQ(draw_bar(0.5, 4), "██  ");
  EXPECT_EQ(draw_bar(1.0, 4), "████");
  EXPECT_EQ(draw_bar(0.375, 2), "▊ ");
  EXPECT_EQ(draw_bar(7.0, 2), "██");
}

} // namespace
} // namespace tessera::cli
