#pragma once

#include <cstdint>

// Which of two accesses to a byte comes first by the rules of Metal: those of
// one thread in its order; those of a simdgroup, if one of its barriers with
// the right memory flag lies between; those of a threadgroup, if one of its
// barriers does; those of two threadgroups never.
namespace tessera::metal {

constexpr std::uint16_t no_thread = 0xffff;
constexpr std::uint16_t many_threads = 0xfffe; // of several simdgroups
constexpr std::uint16_t many_lanes = 0x8000;   // flag: of one simdgroup

// A moment in a threadgroup: barriers passed that order this kind of memory.
struct Moment {
  std::uint16_t thread;
  std::uint32_t threadgroup_epoch, simdgroup_epoch;
};

// The last write and the last unordered reads of a byte.
struct Cell {
  std::uint32_t write_epoch = 0, write_simd_epoch = 0;
  std::uint32_t read_epoch = 0, read_simd_epoch = 0;
  std::uint16_t writer = no_thread, reader = no_thread;
};

inline bool before(
    std::uint16_t thread,
    std::uint32_t epoch,
    std::uint32_t simd_epoch,
    const Moment& now) {
  if (thread == no_thread || epoch < now.threadgroup_epoch)
    return true;
  if (thread == many_threads)
    return false;
  if (thread == now.thread)
    return true;
  const bool same_simdgroup = (thread & ~many_lanes) / 32 == now.thread / 32;
  return same_simdgroup && simd_epoch < now.simdgroup_epoch;
}

inline bool read_races(const Cell& cell, const Moment& now) {
  return !before(cell.writer, cell.write_epoch, cell.write_simd_epoch, now);
}

inline bool write_races(const Cell& cell, const Moment& now) {
  return read_races(cell, now) ||
      !before(cell.reader, cell.read_epoch, cell.read_simd_epoch, now);
}

inline void note_write(Cell& cell, const Moment& now) {
  cell.writer = now.thread;
  cell.write_epoch = now.threadgroup_epoch;
  cell.write_simd_epoch = now.simdgroup_epoch;
}

inline void note_read(Cell& cell, const Moment& now) {
  if (before(cell.reader, cell.read_epoch, cell.read_simd_epoch, now)) {
    cell.reader = now.thread;
  } else if (
      cell.reader != many_threads &&
      (cell.reader & ~many_lanes) / 32 == now.thread / 32) {
    cell.reader |= many_lanes;
  } else {
    cell.reader = many_threads;
  }
  cell.read_epoch = now.threadgroup_epoch;
  cell.read_simd_epoch = now.simdgroup_epoch;
}

} // namespace tessera::metal
