#include "backend/cpu/share.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

namespace {

// Allocations that this thread may still make for the queue of the pool; below
// 0 any number.
thread_local int allocations_left = -1;

} // namespace

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
// What asio queues its work in.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) {
  if (allocations_left == 0) {
    return nullptr;
  }
  allocations_left -= allocations_left > 0 ? 1 : 0;
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}
#endif

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

// Where no memory is left for a helper, the others do the work; none is at it
// when the call returns, for the work is gone by then.
TEST(Share, DoesAllWithTheHelpersThatItGets) {
  share(2, 2, [](int, int) {});
  for (int helpers = 0; helpers < 8; ++helpers) {
    std::atomic<int> done{0};
    const std::function<void(int, int)> work = [&](int, int) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++done;
    };
    allocations_left = helpers;
    try {
      share(8, 30, work);
    } catch (const std::bad_alloc&) {
    }
    allocations_left = -1;
    const int now = done;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(now, done);
    EXPECT_EQ(now, 30);
  }
}

// A forked child has none of the helpers.
TEST(Share, AForkedChildDoesItsWorkAndExits) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a child's leak check takes what the parent's threads hold "
                  "for lost";
#endif
  share(2, 2, [](int, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20)); // helpers are up
  const pid_t child = fork();
  if (child == 0) {
    alarm(5);
    std::atomic<int> done{0};
    share(2, 4, [&](int, int) { ++done; });
    std::exit(done == 4 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

} // namespace
} // namespace tessera::cpu
