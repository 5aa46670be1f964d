#include "runtime/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "compile/compiler.h"

namespace tessera::metal {

namespace context = boost::context::detail;

Machine* machine = nullptr;

namespace {

// As many as a GPU has in a threadgroup; kept, as to map them takes long.
Stacks& stacks() {
  static Stacks all(1024);
  return all;
}

} // namespace

const char* name_of(Meeting meeting) {
  constexpr std::array names = {
      "threadgroup_barrier",
      "simdgroup_barrier",
      "simdgroup matrix multiply",
      "simdgroup matrix load or store",
      "simd_shuffle",
      "simd reduction",
      "simd vote"};
  return names[static_cast<std::size_t>(meeting)];
}

Machine::Machine(
    const Dispatch& dispatch, const Options& options, void (*entry)())
    : device(dispatch.buffers),
      dispatch_(dispatch),
      size_(dispatch.threadgroup),
      threadgroup_(options.threadgroup_memory_limit),
      entry_(entry) {
  main_.index = 0;
}

void Machine::run(unsigned seed) {
  Position groups;
  for (std::size_t i = 0; i < 3; ++i)
    groups[i] = (dispatch_.grid[i] + size_[i] - 1) / size_[i];
  std::vector<std::uint32_t> order(product(groups));
  std::iota(order.begin(), order.end(), 0u);
  shuffled_ = seed != 0;
  random_.seed(seed + 1);
  if (shuffled_)
    std::shuffle(order.begin(), order.end(), random_);
  machine = this;
  for (const std::uint32_t i : order) {
    group_number_ = i + 1;
    run_threadgroup(position(i, groups), seed);
    if (!error_.empty())
      break;
  }
  machine = nullptr;
  if (!error_.empty())
    throw ExecutionError("[metal] " + error_ + source_line(error_site_));
  counts.unwritten_bytes = device.unwritten_bytes();
}

void Machine::prepare_threads(unsigned seed) {
  const unsigned count = product(extent_);
  threads_.assign(count, Thread{});
  simdgroups_.assign((count + simd_width - 1) / simd_width, Simdgroup{});
  for (unsigned i = 0; i < count; ++i) {
    Thread& t = threads_[i];
    t.index = static_cast<std::uint16_t>(i);
    t.state = State::ready;
    t.stack_low = stacks().low(i);
    // Not all at one place of their pages, which one set of the cache would
    // hold: 7 % less time.
    const std::size_t apart = i % 16 * 832;
    t.context = context::make_fcontext(
        reinterpret_cast<void*>(t.stack_low + Stacks::bytes - apart),
        Stacks::bytes - apart,
        &Machine::start);
  }
  for (unsigned s = 0; s < simdgroups_.size(); ++s) {
    Simdgroup& g = simdgroups_[s];
    g.first = s * simd_width;
    g.lanes = std::min(simd_width, count - g.first);
    if (seed != 0) {
      g.next = static_cast<unsigned>(random_()) % g.lanes;
      g.stride = g.lanes == simd_width
          ? static_cast<unsigned>(random_()) % simd_width | 1
          : 1;
    }
  }
  running_ = count;
  device_epoch_ = threadgroup_epoch_ = 0;
}

void Machine::run_threadgroup(const Position& group, unsigned seed) {
  group_ = group;
  for (std::size_t i = 0; i < 3; ++i)
    extent_[i] = std::min(size_[i], dispatch_.grid[i] - group[i] * size_[i]);
  threadgroup_.clear();
  prepare_threads(seed);
  current_ = &main_;
  switch_to(*ready_lane(*ready_simdgroup()));
  counts.threadgroup_memory = std::max<std::uint64_t>(
      counts.threadgroup_memory, threadgroup_.declared_bytes());
}

void Machine::start(context::transfer_t from) {
  static_cast<Thread*>(from.data)->context = from.fctx;
  machine->entry_();
  machine->end_thread();
}

void Machine::switch_to(Thread& thread) {
  Thread* self = current_;
  current_ = &thread;
  const context::transfer_t back = context::jump_fcontext(thread.context, self);
  static_cast<Thread*>(back.data)->context = back.fctx;
}

void Machine::fail(const std::string& what, const void* site) {
  const Position p = position(current_->index, extent_);
  error_ = fmt::format(
      "{}: thread ({}, {}, {}) of threadgroup ({}, {}, {}): {}",
      dispatch_.function,
      p[0],
      p[1],
      p[2],
      group_[0],
      group_[1],
      group_[2],
      what);
  error_site_ = site;
  switch_to(main_);
  __builtin_unreachable();
}

Thread* Machine::ready_lane(Simdgroup& group) {
  for (unsigned i = 0; i < group.lanes; ++i) {
    Thread& t = threads_[group.first + group.next];
    if (t.state == State::ready)
      return &t;
    group.next += group.stride;
    group.next -= group.next >= group.lanes ? group.lanes : 0;
  }
  return nullptr;
}

// A simdgroup that can go on: after the present one, or any.
Simdgroup* Machine::ready_simdgroup() {
  const auto count = static_cast<unsigned>(simdgroups_.size());
  const unsigned from = shuffled_ ? static_cast<unsigned>(random_()) % count
      : current_ == &main_        ? 0
                                  : current_->index / simd_width + 1;
  for (unsigned i = 0; i < count; ++i) {
    Simdgroup& g = simdgroups_[(from + i) % count];
    if (!g.at_barrier && g.ended < g.lanes)
      return &g;
  }
  return nullptr;
}

void Machine::leave() {
  if (Thread* t = ready_lane(group_of(*current_)))
    return switch_to(*t);
  if (Simdgroup* g = ready_simdgroup())
    if (Thread* t = ready_lane(*g))
      return switch_to(*t);
  if (running_ == 0)
    return switch_to(main_);
  // Only waiting threads are left, and some that have ended.
  for (Thread& t : threads_)
    if (t.state == State::waiting)
      fail(
          fmt::format(
              "{} of its threadgroup's {} threads ended, and never reach the "
              "{} at which thread {} waits",
              threads_.size() - running_,
              threads_.size(),
              name_of(t.operation.meeting),
              t.index),
          t.operation.site);
  fail("no thread can go on", nullptr);
}

void Machine::end_thread() {
  current_->state = State::ended;
  ++group_of(*current_).ended;
  --running_;
  leave();
  __builtin_unreachable();
}

void Machine::check_alike(const Simdgroup& group, const Operation& operation) {
  const Thread& other = threads_[group.sample];
  if (other.operation.site != operation.site ||
      other.operation.meeting != operation.meeting ||
      other.operation.detail != operation.detail)
    fail(
        fmt::format(
            "divergence: reaches a {} while thread {} of its simdgroup waits "
            "at a {}{}, and here",
            name_of(operation.meeting),
            other.index,
            name_of(other.operation.meeting),
            source_line(other.operation.site)),
        operation.site);
}

std::uint64_t Machine::meet(const Operation& operation) {
  Thread& self = *current_;
  Simdgroup& group = group_of(self);
  if (group.waiting != 0)
    check_alike(group, operation);
  group.sample = self.index;
  self.operation = operation;
  self.state = State::waiting;
  ++group.waiting;
  if (group.waiting == group.lanes)
    complete(group);
  if (self.state == State::waiting)
    leave();
  return self.operation.result;
}

void Machine::release(Simdgroup& group) {
  group.waiting = 0;
  group.at_barrier = false;
  for (unsigned i = 0; i < group.lanes; ++i)
    threads_[group.first + i].state = State::ready;
}

void Machine::complete(Simdgroup& group) {
  const Operation& operation = current_->operation;
  if (operation.meeting == Meeting::threadgroup_barrier) {
    group.at_barrier = true;
    return complete_threadgroup_barrier(group);
  }
  if (operation.meeting == Meeting::simdgroup_barrier) {
    ++counts.simdgroup_barriers;
    group.device_epoch += operation.detail & 1;
    group.threadgroup_epoch += operation.detail >> 1 & 1;
  } else {
    compute(group);
  }
  release(group);
  // Another simdgroup may go on first.
  if (shuffled_ && random_() % 16 == 0) {
    group.next = current_->index - group.first;
    if (Simdgroup* other = ready_simdgroup(); other != &group)
      if (Thread* t = ready_lane(*other))
        switch_to(*t);
  }
}

void Machine::complete_threadgroup_barrier(Simdgroup& group) {
  const Operation& mine = current_->operation;
  for (const Simdgroup& other : simdgroups_) {
    if (!other.at_barrier)
      return;
    const Operation& theirs = threads_[other.first].operation;
    if (theirs.site != mine.site || theirs.detail != mine.detail)
      fail(
          fmt::format(
              "divergence: reaches a threadgroup_barrier while simdgroup {} "
              "waits at another{}, and here",
              other.first / simd_width,
              source_line(theirs.site)),
          mine.site);
  }
  (void)group;
  ++counts.threadgroup_barriers;
  device_epoch_ += mine.detail & 1;
  threadgroup_epoch_ += mine.detail >> 1 & 1;
  for (Simdgroup& other : simdgroups_)
    release(other);
}

} // namespace tessera::metal
