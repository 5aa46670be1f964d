#pragma once

#include <stdexcept>

namespace tessera::cli {

// 128 + SIGINT, as shells count it.
constexpr int kInterruptedExit = 130;

// Thrown once a command has put everything in order after Ctrl-C.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// While alive, the first Ctrl-C (or SIGTERM) is noted instead of ending the
// program; a second one ends it at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool requested() const;
};

} // namespace tessera::cli
