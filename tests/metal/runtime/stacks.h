#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::metal {

// Stacks of fibers, a page between two that nothing may touch. Memory is
// taken only where a stack is used.
class Stacks {
 public:
  static constexpr std::size_t bytes = 256 * 1024;

  explicit Stacks(std::size_t count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  std::uintptr_t low(std::size_t index) const;

 private:
  std::size_t mapped_;
  std::byte* base_;
};

} // namespace tessera::metal
