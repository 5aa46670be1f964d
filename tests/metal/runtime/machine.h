#pragma once

#include <array>
#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "executor.h"
#include "runtime/device_memory.h"
#include "runtime/stacks.h"
#include "runtime/threadgroup_memory.h"

namespace tessera::metal {

constexpr unsigned simd_width = 32;
using Position = std::array<std::uint32_t, 3>;

inline std::uint32_t product(const Position& p) {
  return p[0] * p[1] * p[2];
}

inline Position position(std::uint32_t index, const Position& extent) {
  return {
      index % extent[0],
      index / extent[0] % extent[1],
      index / extent[0] / extent[1]};
}

enum class Meeting {
  threadgroup_barrier,
  simdgroup_barrier,
  matrix,
  matrix_access,
  shuffle,
  reduction,
  ballot
};
const char* name_of(Meeting meeting);

// What the threads of a simdgroup meet for, and what each brings.
struct Operation {
  Meeting meeting;
  const void* site = nullptr;
  std::uint64_t detail = 0;   // the same of all: flags, types, kind
  std::uint64_t argument = 0; // each its own: lane, value
  std::array<void*, 4> data = {};
  std::uint64_t result = 0;
};

enum class State : std::uint8_t { ready, waiting, ended };

struct Thread {
  boost::context::detail::fcontext_t context = nullptr;
  std::uintptr_t stack_low = 0;
  std::uint16_t index = 0;
  State state = State::ended;
  Operation operation{};
};

struct Simdgroup {
  unsigned first = 0, lanes = 0; // threads
  unsigned waiting = 0, ended = 0;
  unsigned next = 0; // the lane that goes on
  unsigned stride = 1;
  unsigned sample = 0; // a thread that waits, if any does
  bool at_barrier = false;
  std::uint32_t device_epoch = 0, threadgroup_epoch = 0;
};

// The execution of a dispatch: one threadgroup after another, each of its
// threads a fiber that runs until it has to meet the others.
class Machine {
 public:
  Machine(const Dispatch& dispatch, const Options& options, void (*entry)());

  // All threadgroups, in an order that the seed gives; zero is their own.
  void run(unsigned seed);

  // For the kernel's calls.
  void access(
      std::uintptr_t address, std::size_t bytes, bool write, const void* site) {
    if (address - current_->stack_low >= Stacks::bytes)
      access_shared(address, bytes, write, site);
  }
  void access_atomic(
      std::uintptr_t address, std::size_t bytes, const void* site);
  std::uint64_t meet(const Operation& operation);
  std::uintptr_t declare(
      unsigned declaration, std::size_t bytes, std::size_t alignment);
  std::uint32_t builtin(unsigned kind, unsigned axis) const;
  std::uintptr_t buffer(unsigned slot) const {
    return device.address(slot);
  }
  unsigned lane() const {
    return current_->index % simd_width;
  }
  [[noreturn]] void fail(const std::string& what, const void* site);

  Counts counts;
  DeviceMemory device;

 private:
  static void start(boost::context::detail::transfer_t from);
  void run_threadgroup(const Position& group, unsigned seed);
  void prepare_threads(unsigned seed);
  void switch_to(Thread& thread);
  void end_thread();
  void leave(); // to a thread that can go on
  void access_shared(
      std::uintptr_t address, std::size_t bytes, bool write, const void* site);
  Thread* ready_lane(Simdgroup& group);
  Simdgroup* ready_simdgroup();
  void check_alike(const Simdgroup& group, const Operation& operation);
  void complete(Simdgroup& group);
  void complete_threadgroup_barrier(Simdgroup& group);
  void compute(Simdgroup& group);
  void release(Simdgroup& group);
  bool is_program_constant(std::uintptr_t address) const;
  Moment moment(bool device_memory) const;
  Simdgroup& group_of(const Thread& thread) {
    return simdgroups_[thread.index / simd_width];
  }

  Dispatch dispatch_;
  Position size_{};   // of a whole threadgroup
  Position group_{};  // the threadgroup that runs
  Position extent_{}; // its threads
  std::uint32_t group_number_ = 0;
  ThreadgroupMemory threadgroup_;
  void (*entry_)();
  std::vector<Thread> threads_;
  std::vector<Simdgroup> simdgroups_;
  std::uint32_t device_epoch_ = 0, threadgroup_epoch_ = 0;
  unsigned running_ = 0; // threads that have not ended
  Thread main_;
  Thread* current_ = &main_;
  std::minstd_rand random_;
  bool shuffled_ = false;
  std::string error_;
  const void* error_site_ = nullptr;
};

// The one that runs.
extern Machine* machine;

} // namespace tessera::metal
