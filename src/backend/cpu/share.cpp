#include "backend/cpu/share.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <memory>
#include <thread>

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

asio::thread_pool& pool() {
  static asio::thread_pool threads(
      std::max(1u, std::thread::hardware_concurrency()));
  return threads;
}

} // namespace

void share(
    int threads,
    int count,
    const std::function<void(int thread, int item)>& work) {
  const auto items = std::make_shared<Items>(count);
  const auto take = [items, &work](int thread) {
    for (int item = items->next++; item < items->count; item = items->next++) {
      work(thread, item);
      if (items->finished.fetch_add(1) + 1 == items->count) {
        items->finished.notify_all();
      }
    }
  };
  for (int thread = 1; thread < std::min(threads, count); ++thread) {
    asio::post(pool(), [=] { take(thread); });
  }
  take(0);
  for (int done = items->finished; done < count; done = items->finished) {
    items->finished.wait(done);
  }
}

} // namespace tessera::cpu
