#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "executor.h"
#include "runtime/order.h"

namespace tessera::metal {

// The buffers of a dispatch, each a copy in the middle of 32 GiB of its own, so
// that an index that goes astray lands in no other buffer.
class DeviceMemory {
 public:
  explicit DeviceMemory(const std::vector<Buffer>& buffers);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  bool contains(std::uintptr_t address) const {
    return address - region_ < region_bytes_;
  }
  std::uintptr_t address(std::size_t slot) const;

  // What is wrong with an access; empty where nothing is. Group: of the
  // threadgroup, from 1.
  std::string access(
      std::uintptr_t address,
      std::size_t bytes,
      bool write,
      std::uint32_t group,
      const Moment& now);

  // The same of an atomic access, which races with no other.
  std::string access_atomic(
      std::uintptr_t address, std::size_t bytes, std::uint32_t group);

  std::uint64_t unwritten_bytes() const;
  // What a buffer holds now.
  const std::byte* data(std::size_t slot) const;

 private:
  struct DeviceCell {
    Cell cell;
    std::uint32_t write_group = 0, read_group = 0;
  };
  struct Slot {
    std::byte* data = nullptr;
    std::size_t bytes = 0, mapped = 0;
    bool writable = false, filled = false;
    std::vector<DeviceCell> cells; // of a writable buffer
  };

  std::string locate(
      std::uintptr_t address,
      std::size_t bytes,
      std::size_t& number,
      std::size_t& offset) const;
  std::string read(
      const Slot& slot,
      DeviceCell& cell,
      std::uint32_t group,
      const Moment& now) const;
  std::string write(
      DeviceCell& cell, std::uint32_t group, const Moment& now) const;

  std::vector<Slot> slots_;
  std::uintptr_t region_ = 0;
  std::size_t region_bytes_ = 0;
};

} // namespace tessera::metal
