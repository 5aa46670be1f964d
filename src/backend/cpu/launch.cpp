#include "backend/cpu/launch.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <thread>

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/share.h"

namespace tessera::cpu {

namespace {

constexpr std::size_t alignment = 64;

Isa best_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return Isa::avx2;
  }
#endif
  return Isa::portable;
}

std::size_t l2_bytes() {
  long bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return bytes > 0 ? static_cast<std::size_t>(bytes) : Device{}.l2_bytes;
}

// The work items of a pass: every block of the stationary sequence of every
// batch entry and head, the heaviest blocks first.
class Items {
 public:
  explicit Items(const Task& task)
      : heads_(task.problem.stationary_heads()),
        length_(task.problem.stationary_length()),
        block_(task.plan.stationary()),
        blocks_((length_ + block_ - 1) / block_),
        per_block_(task.problem.B * heads_),
        backwards_(blocks_ > 0 && cost(task, blocks_ - 1) > cost(task, 0)) {}

  int count() const {
    return blocks_ * per_block_;
  }

  Item operator[](int index) const {
    const int rank = index / per_block_;
    const int rest = index % per_block_;
    return {
        rest / heads_,
        rest % heads_,
        rows(backwards_ ? blocks_ - 1 - rank : rank)};
  }

 private:
  Span rows(int block) const {
    return {block * block_, std::min((block + 1) * block_, length_)};
  }

  // The bounds of a mask never fall, so the weights of its blocks lie between
  // those of the first and the last.
  int cost(const Task& task, int block) const {
    return task.problem.by_rows() ? task.mask.seen_by_any(rows(block)).size()
                                  : task.mask.sees_any(rows(block)).size();
  }

  int heads_;
  int length_;
  int block_;
  int blocks_;
  int per_block_;
  bool backwards_;
};

Kernel kernel_of(const Task& task) {
  const Kernels& kernels = kernels_for(task.plan.isa);
  switch (task.problem.pass) {
    case Pass::forward:
      return kernels.forward;
    case Pass::dQ:
      return kernels.dQ;
    case Pass::dKdV:
      break;
  }
  return kernels.dKdV;
}

float* aligned(void* workspace) {
  const auto address = reinterpret_cast<std::uintptr_t>(workspace);
  const auto gap = (alignment - address % alignment) % alignment;
  return reinterpret_cast<float*>(static_cast<std::byte*>(workspace) + gap);
}

} // namespace

Device this_device() {
  Device device;
  device.isa = best_isa();
  device.threads =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  device.l2_bytes = l2_bytes();
  return device;
}

Task make_task(const Problem& problem, const Plan& plan, float scale) {
  Task task;
  task.problem = problem;
  task.plan = plan;
  task.workspace = workspace(problem, plan);
  task.mask = problem.mask();
  task.scale = scale;
  return task;
}

std::size_t workspace_bytes(const Task& task) {
  return alignment +
      task.workspace.bytes() * static_cast<std::size_t>(task.plan.threads);
}

void run(const Task& task, void* workspace) {
  const Items items(task);
  const Kernel kernel = kernel_of(task);
  float* const memory = aligned(workspace);
  share(task.plan.threads, items.count(), [&](int thread, int index) {
    kernel(
        task,
        items[index],
        memory + static_cast<std::size_t>(thread) * task.workspace.floats);
  });
}

void run_row_dots(const Task& task) {
  Task rows = task;
  rows.problem.pass = Pass::dQ;
  const Items items(rows);
  const Kernel kernel = kernels_for(task.plan.isa).row_dots;
  share(task.plan.threads, items.count(), [&](int, int index) {
    kernel(rows, items[index], nullptr);
  });
}

} // namespace tessera::cpu
