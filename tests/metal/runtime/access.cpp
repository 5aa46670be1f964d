#include <dlfcn.h>
#include <fmt/format.h>

#include "runtime/machine.h"

// What a thread asks of the machine by itself: memory, and its place.
namespace tessera::metal {

Moment Machine::moment(bool device_memory) const {
  const Simdgroup& g = simdgroups_[current_->index / simd_width];
  return {
      current_->index,
      device_memory ? device_epoch_ : threadgroup_epoch_,
      device_memory ? g.device_epoch : g.threadgroup_epoch};
}

void Machine::access_shared(
    std::uintptr_t address, std::size_t bytes, bool write, const void* site) {
  const char* verb = write ? "a write" : "a read";
  if (threadgroup_.contains(address)) {
    ++(write ? counts.threadgroup_stores : counts.threadgroup_loads);
    (write ? counts.threadgroup_bytes_stored
           : counts.threadgroup_bytes_loaded) += bytes;
    const std::string wrong =
        threadgroup_.access(address, bytes, write, moment(false));
    if (!wrong.empty())
      fail(fmt::format("{} of {} bytes {}", verb, bytes, wrong), site);
  } else if (device.contains(address)) {
    ++(write ? counts.device_stores : counts.device_loads);
    (write ? counts.device_bytes_stored : counts.device_bytes_loaded) += bytes;
    const std::string wrong =
        device.access(address, bytes, write, group_number_, moment(true));
    if (!wrong.empty())
      fail(fmt::format("{} of {} bytes {}", verb, bytes, wrong), site);
  } else if (write || !is_program_constant(address)) {
    fail(
        fmt::format(
            "{} of {} bytes is out of bounds of everything, at {:#x}",
            verb,
            bytes,
            address),
        site);
  }
}

void Machine::access_atomic(
    std::uintptr_t address, std::size_t bytes, const void* site) {
  const std::string wrong = device.contains(address)
      ? device.access_atomic(address, bytes, group_number_)
      : "is of no buffer";
  if (!wrong.empty())
    fail("an atomic operation " + wrong, site);
}

// Tables in the constant address space lie in the module itself.
bool Machine::is_program_constant(std::uintptr_t address) const {
  Dl_info kernel, data;
  return dladdr(reinterpret_cast<void*>(entry_), &kernel) != 0 &&
      dladdr(reinterpret_cast<void*>(address), &data) != 0 &&
      kernel.dli_fbase == data.dli_fbase;
}

std::uintptr_t Machine::declare(
    unsigned declaration, std::size_t bytes, std::size_t alignment) {
  const std::uintptr_t address =
      threadgroup_.declare(declaration, bytes, alignment);
  if (address == 0)
    fail(
        fmt::format(
            "expected threadgroup memory of at most {} bytes; got {}",
            threadgroup_.limit(),
            threadgroup_.declared_bytes()),
        nullptr);
  return address;
}

std::uint32_t Machine::builtin(unsigned kind, unsigned axis) const {
  const Position local = position(current_->index, extent_);
  const auto groups = [&](unsigned i) {
    return (dispatch_.grid[i] + size_[i] - 1) / size_[i];
  };
  switch (kind) {
    case 1:
      return group_[axis] * size_[axis] + local[axis];
    case 2:
      return group_[axis];
    case 3:
      return local[axis];
    case 4:
      return current_->index;
    case 5:
      return current_->index % simd_width;
    case 6:
      return current_->index / simd_width;
    case 7:
      return extent_[axis];
    case 8:
      return groups(axis);
    case 9:
      return dispatch_.grid[axis];
    case 10:
      return static_cast<std::uint32_t>(simdgroups_.size());
    case 11:
    case 12:
      return simd_width;
    case 13:
      return size_[axis];
    default:
      return (product(size_) + simd_width - 1) / simd_width;
  }
}

} // namespace tessera::metal
