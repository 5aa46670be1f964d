#include "runtime/stacks.h"

#include <sys/mman.h>

#include <cerrno>
#include <system_error>

namespace tessera::metal {
namespace {

constexpr std::size_t page = 4096;

} // namespace

Stacks::Stacks(std::size_t count) : mapped_(count * (bytes + page) + page) {
  void* base = mmap(
      nullptr,
      mapped_,
      PROT_NONE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
      -1,
      0);
  if (base == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "mmap");
  base_ = static_cast<std::byte*>(base);
  for (std::size_t i = 0; i < count; ++i)
    if (mprotect(
            reinterpret_cast<void*>(low(i)), bytes, PROT_READ | PROT_WRITE) !=
        0)
      throw std::system_error(errno, std::generic_category(), "mprotect");
}

Stacks::~Stacks() {
  munmap(base_, mapped_);
}

std::uintptr_t Stacks::low(std::size_t index) const {
  return reinterpret_cast<std::uintptr_t>(base_) + page +
      index * (bytes + page);
}

} // namespace tessera::metal
