#pragma once

#include <functional>

namespace tessera::cpu {

// Calls work(thread, item) once for each item of [0, count), the lower items
// first, on up to `threads` threads, the caller's among them; `thread` is in
// [0, threads) and never in two calls at once. Returns when all are done.
// `work` must not throw; subnormal numbers count as 0 in it.
void share(
    int threads,
    int count,
    const std::function<void(int thread, int item)>& work);

} // namespace tessera::cpu
