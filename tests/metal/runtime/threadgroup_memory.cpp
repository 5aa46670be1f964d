#include "runtime/threadgroup_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace tessera::metal {
namespace {

constexpr std::size_t gap = 256;
constexpr std::size_t most_variables = 64;

} // namespace

ThreadgroupMemory::ThreadgroupMemory(std::size_t limit)
    : limit_(limit),
      arena_(limit + most_variables * gap + gap),
      base_(reinterpret_cast<std::uintptr_t>(arena_.data())),
      cells_(arena_.size()),
      inside_(arena_.size()),
      variables_(most_variables) {}

std::uintptr_t ThreadgroupMemory::declare(
    unsigned declaration, std::size_t bytes, std::size_t alignment) {
  Variable& v = variables_.at(declaration);
  if (v.bytes == 0) {
    declared_ += bytes;
    if (declared_ > limit_)
      return 0;
    const std::size_t unit = std::max<std::size_t>(alignment, 16);
    const std::uintptr_t at = (base_ + end_ + gap / 2 + unit - 1) & ~(unit - 1);
    v = {at - base_, bytes};
    end_ = v.offset + bytes;
    std::memset(arena_.data() + v.offset, 0xff, bytes);
    std::fill_n(
        inside_.begin() + static_cast<std::ptrdiff_t>(v.offset), bytes, true);
  }
  return base_ + v.offset;
}

std::string ThreadgroupMemory::access(
    std::uintptr_t address, std::size_t bytes, bool write, const Moment& now) {
  const std::size_t offset = address - base_;
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    if (i >= inside_.size() || !inside_[i])
      return "is out of bounds of every threadgroup variable";
    Cell& cell = cells_[i];
    if (write) {
      if (write_races(cell, now))
        return fmt::format(
            "races with thread {}'s {} of threadgroup memory",
            read_races(cell, now) ? cell.writer : cell.reader & 0x7fff,
            read_races(cell, now) ? "write" : "read");
      note_write(cell, now);
    } else {
      if (cell.writer == no_thread)
        return "reads threadgroup memory that nothing has written";
      if (read_races(cell, now))
        return fmt::format(
            "races with thread {}'s write of threadgroup memory", cell.writer);
      note_read(cell, now);
    }
  }
  return "";
}

void ThreadgroupMemory::clear() {
  std::fill_n(cells_.begin(), std::min(end_ + gap, cells_.size()), Cell{});
  std::fill(inside_.begin(), inside_.end(), false);
  std::fill(variables_.begin(), variables_.end(), Variable{0, 0});
  declared_ = 0;
  end_ = 0;
}

} // namespace tessera::metal
