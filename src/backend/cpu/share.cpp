#include "backend/cpu/share.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tessera::cpu {

namespace {

// What the threads of one call share. A helper that the pool starts late finds
// no item left, and never touches `work`, which is gone by then.
struct Items {
  explicit Items(int n) : count(n) {}

  const int count;
  std::atomic<int> next{0};
  std::atomic<int> finished{0};
};

// Subnormal numbers count as 0 while it lives: a probability that has died away
// would cost each product that it enters a hundred cycles.
class FlushSubnormals {
 public:
#if defined(__x86_64__)
  FlushSubnormals() : before_(_mm_getcsr()) {
    _mm_setcsr(before_ | 0x8040u); // flush to zero, denormals are zero
  }
  ~FlushSubnormals() {
    _mm_setcsr(before_);
  }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushSubnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | std::uint64_t{1} << 24));
  }
  ~FlushSubnormals() {
    asm volatile("msr fpcr, %0" : : "r"(before_));
  }

 private:
  std::uint64_t before_ = 0;
#endif
};

// Never destroyed: the exit of a forked child would wait for threads that the
// parent alone has.
asio::thread_pool& pool() {
  static auto& threads =
      *new asio::thread_pool(std::max(1u, std::thread::hardware_concurrency()));
  return threads;
}

} // namespace

void share(
    int threads,
    int count,
    const std::function<void(int thread, int item)>& work) {
  const auto items = std::make_shared<Items>(count);
  const auto take = [items, &work](int thread) {
    const FlushSubnormals flush;
    for (int item = items->next++; item < items->count; item = items->next++) {
      work(thread, item);
      if (items->finished.fetch_add(1) + 1 == items->count) {
        items->finished.notify_all();
      }
    }
  };
  try {
    for (int thread = 1; thread < std::min(threads, count); ++thread) {
      asio::post(pool(), [=] { take(thread); });
    }
  } catch (const std::exception&) {
    // No memory or no thread for one more helper: those that there are, and the
    // caller, do the work. Leaving now would take it away under them.
  }
  take(0);
  for (int done = items->finished; done < count; done = items->finished) {
    items->finished.wait(done);
  }
}

} // namespace tessera::cpu
