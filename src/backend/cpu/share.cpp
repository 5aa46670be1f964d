#include "backend/cpu/share.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace tessera::cpu {

void share(
    int threads,
    int count,
    const std::function<void(int thread, int item)>& work) {
  std::atomic<int> next{0};
  const auto take = [&](int thread) {
    for (int item = next++; item < count; item = next++) {
      work(thread, item);
    }
  };
  std::vector<std::thread> helpers;
  const int wanted = std::min(threads, count);
  helpers.reserve(static_cast<std::size_t>(std::max(0, wanted - 1)));
  try {
    for (int thread = 1; thread < wanted; ++thread) {
      helpers.emplace_back(take, thread);
    }
  } catch (const std::system_error&) {
    // The system gives no more threads: those that run do the work.
  }
  take(0);
  for (auto& helper : helpers) {
    helper.join();
  }
}

} // namespace tessera::cpu
