#include "backend/cpu/share.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <vector>

namespace tessera::cpu {
namespace {

TEST(Share, EveryItemOnceAndNoThreadTwiceAtOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    for (const int count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(count));
      std::array<std::atomic<int>, 8> busy{};
      std::atomic<bool> clash{false};
      share(threads, count, [&](int thread, int item) {
        auto& mine = busy[static_cast<std::size_t>(thread)];
        clash = clash || mine++ != 0 || thread >= threads;
        ++done[static_cast<std::size_t>(item)];
        --mine;
      });
      EXPECT_FALSE(clash);
      for (const auto& times : done) {
        EXPECT_EQ(times, 1);
      }
    }
  }
}

} // namespace
} // namespace tessera::cpu
