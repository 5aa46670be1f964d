#include "runtime/device_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>
#include <system_error>

namespace tessera::metal {
namespace {

constexpr std::size_t slot_bytes = std::size_t{1} << 35;
constexpr std::size_t page = 4096;
constexpr std::uint32_t many_groups = 0xffffffff;

} // namespace

DeviceMemory::DeviceMemory(const std::vector<Buffer>& buffers)
    : slots_(buffers.size()), region_bytes_(buffers.size() * slot_bytes) {
  if (buffers.empty())
    return;
  void* region = mmap(
      nullptr,
      region_bytes_,
      PROT_NONE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
      -1,
      0);
  if (region == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "mmap");
  region_ = reinterpret_cast<std::uintptr_t>(region);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    Slot& slot = slots_[i];
    slot.bytes = buffers[i].bytes;
    slot.writable = buffers[i].writable;
    slot.filled = buffers[i].filled || !buffers[i].writable;
    slot.mapped = (slot.bytes / page + 1) * page;
    slot.data =
        static_cast<std::byte*>(region) + i * slot_bytes + slot_bytes / 2;
    if (mprotect(slot.data, slot.mapped, PROT_READ | PROT_WRITE) != 0)
      throw std::system_error(errno, std::generic_category(), "mprotect");
    if (slot.bytes != 0)
      std::memcpy(slot.data, buffers[i].data, slot.bytes);
    // What a kernel leaves unwritten is no lucky zero.
    if (!slot.filled)
      std::memset(slot.data, 0xff, slot.bytes);
    if (slot.writable)
      slot.cells.resize(slot.bytes);
  }
}

DeviceMemory::~DeviceMemory() {
  if (region_bytes_ != 0)
    munmap(reinterpret_cast<void*>(region_), region_bytes_);
}

std::uintptr_t DeviceMemory::address(std::size_t slot) const {
  return slot < slots_.size()
      ? reinterpret_cast<std::uintptr_t>(slots_[slot].data)
      : 0;
}

const std::byte* DeviceMemory::data(std::size_t slot) const {
  return slots_[slot].data;
}

std::string DeviceMemory::read(
    const Slot& slot,
    DeviceCell& cell,
    std::uint32_t group,
    const Moment& now) const {
  if (cell.write_group != 0 && cell.write_group != group)
    return "races with another threadgroup's write";
  if (cell.write_group == 0 && !slot.filled)
    return "reads what nothing has written";
  if (cell.write_group == group && read_races(cell.cell, now))
    return "races with a write of another thread of its threadgroup";
  if (cell.read_group != group) {
    cell.read_group = cell.read_group == 0 ? group : many_groups;
    cell.cell.reader = no_thread;
  }
  note_read(cell.cell, now);
  return "";
}

std::string DeviceMemory::write(
    DeviceCell& cell, std::uint32_t group, const Moment& now) const {
  if (cell.write_group != 0 && cell.write_group != group)
    return "races with another threadgroup's write";
  if (cell.read_group != 0 && cell.read_group != group)
    return "races with another threadgroup's read";
  if (write_races(cell.cell, now))
    return "races with an access of another thread of its threadgroup";
  cell.write_group = group;
  note_write(cell.cell, now);
  return "";
}

std::string DeviceMemory::locate(
    std::uintptr_t address,
    std::size_t bytes,
    std::size_t& number,
    std::size_t& offset) const {
  number = (address - region_) / slot_bytes;
  const Slot& slot = slots_[number];
  offset = address - reinterpret_cast<std::uintptr_t>(slot.data);
  if (offset < slot.bytes && bytes <= slot.bytes - offset)
    return "";
  const auto first = static_cast<std::int64_t>(offset);
  return fmt::format(
      "is out of bounds: bytes {} to {} of the {} of buffer {}",
      first,
      first + static_cast<std::int64_t>(bytes) - 1,
      slot.bytes,
      number);
}

std::string DeviceMemory::access(
    std::uintptr_t address,
    std::size_t bytes,
    bool write_it,
    std::uint32_t group,
    const Moment& now) {
  std::size_t number = 0, offset = 0;
  std::string wrong = locate(address, bytes, number, offset);
  if (!wrong.empty())
    return wrong;
  Slot& slot = slots_[number];
  if (!slot.writable)
    return write_it ? fmt::format("is to buffer {}, which is an input", number)
                    : "";
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    wrong = write_it ? write(slot.cells[i], group, now)
                     : read(slot, slot.cells[i], group, now);
    if (!wrong.empty())
      return fmt::format("{}: byte {} of buffer {}", wrong, i, number);
  }
  return "";
}

std::string DeviceMemory::access_atomic(
    std::uintptr_t address, std::size_t bytes, std::uint32_t group) {
  std::size_t number = 0, offset = 0;
  std::string wrong = locate(address, bytes, number, offset);
  if (!wrong.empty())
    return wrong;
  Slot& slot = slots_[number];
  if (!slot.writable || !slot.filled)
    return fmt::format("needs buffer {} to be a filled output", number);
  for (std::size_t i = offset; i < offset + bytes; ++i) {
    std::uint32_t& last = slot.cells[i].write_group;
    last = last == 0 || last == group ? group : many_groups;
  }
  return "";
}

std::uint64_t DeviceMemory::unwritten_bytes() const {
  std::uint64_t count = 0;
  for (const Slot& slot : slots_)
    if (!slot.filled)
      for (const DeviceCell& cell : slot.cells)
        count += cell.write_group == 0;
  return count;
}

} // namespace tessera::metal
