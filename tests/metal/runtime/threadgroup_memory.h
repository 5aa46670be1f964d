#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/order.h"

namespace tessera::metal {

// The threadgroup memory of the threadgroup that runs, its variables apart from
// each other so that none is reached through its neighbour.
class ThreadgroupMemory {
 public:
  explicit ThreadgroupMemory(std::size_t limit);

  // The address of a variable; one in each threadgroup. Zero where the limit is
  // passed.
  std::uintptr_t declare(
      unsigned declaration, std::size_t bytes, std::size_t alignment);

  bool contains(std::uintptr_t address) const {
    return address - base_ < arena_.size();
  }
  // What is wrong with an access; empty where nothing is.
  std::string access(
      std::uintptr_t address, std::size_t bytes, bool write, const Moment& now);

  std::size_t declared_bytes() const {
    return declared_;
  }
  std::size_t limit() const {
    return limit_;
  }
  // For the next threadgroup.
  void clear();

 private:
  struct Variable {
    std::size_t offset, bytes;
  };
  std::size_t limit_, declared_ = 0, end_ = 0;
  std::vector<std::byte> arena_;
  std::uintptr_t base_;
  std::vector<Cell> cells_;
  std::vector<bool> inside_; // of each byte, whether a variable has it
  std::vector<Variable> variables_;
};

} // namespace tessera::metal
