#include "backend/cpu/launch.h"

#include <unistd.h>
#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <cstdint>
#include <thread>

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/share.h"

namespace tessera::cpu {

namespace {

constexpr std::size_t alignment = 64;

std::size_t l2_bytes() {
  long bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
  return bytes > 0 ? static_cast<std::size_t>(bytes) : Device{}.l2_bytes;
}

float* aligned(void* workspace) {
  const auto address = reinterpret_cast<std::uintptr_t>(workspace);
  const auto gap = (alignment - address % alignment) % alignment;
  return reinterpret_cast<float*>(static_cast<std::byte*>(workspace) + gap);
}

// Everything of one call that the passes need.
struct Call {
  Call(const Task& t, void* memory)
      : task(t),
        workspace(tessera::workspace(t.problem, t.plan)),
        cover(task),
        kernels(kernels_for(t.problem, t.plan)),
        floats(aligned(memory)) {}

  float* of_thread(int thread) const {
    return floats + static_cast<std::size_t>(thread) * workspace.words;
  }
  float* of_all() const {
    return of_thread(task.plan.threads);
  }

  const Task& task;
  Workspace workspace;
  Cover cover;
  const Kernels& kernels;
  float* floats;
};

// Blocks of rows, the heaviest first: those that see the most keys.
std::vector<Rows> forward_items(const Call& call) {
  const Problem& p = call.task.problem;
  std::vector<std::pair<int, Rows>> weighed;
  for (int b = 0; b < p.B; ++b) {
    for (int h = 0; h < p.Hq; ++h) {
      for (int r = 0; r < p.Nq; r += call.task.plan.rows) {
        const Span rows{r, std::min(r + call.task.plan.rows, p.Nq)};
        weighed.push_back({call.cover.keys(b, rows).size(), {b, h, rows}});
      }
    }
  }
  std::stable_sort(
      weighed.begin(), weighed.end(), [](const auto& a, const auto& b) {
        return a.first > b.first;
      });
  std::vector<Rows> items;
  for (const auto& [weight, rows] : weighed) {
    items.push_back(rows);
  }
  return items;
}

// Few queries: runs of keys apart, then each query's parts together.
void run_few(const Call& call) {
  const Problem& p = call.task.problem;
  const Plan& plan = call.task.plan;
  const auto workspace = few_workspace(p);
  const int parts = few_parts(p, plan);
  const auto floats = few_part_floats(p);
  float* const all =
      call.floats + static_cast<std::size_t>(plan.threads) * workspace.floats;
  share(plan.threads, p.B * p.Hkv * parts, [&](int thread, int i) {
    const int head = i / parts;
    const int key = i % parts * plan.split;
    call.kernels.few_forward(
        call.task,
        call.cover,
        workspace,
        {head / p.Hkv, head % p.Hkv, {key, std::min(key + plan.split, p.Nk)}},
        all + static_cast<std::size_t>(i) * floats,
        call.floats + static_cast<std::size_t>(thread) * workspace.floats);
  });
  share(plan.threads, p.B * p.Hq, [&](int, int i) {
    const int key_head = i / p.group();
    for (int row = 0; row < p.Nq; ++row) {
      const int index = i % p.group() * p.Nq + row;
      call.kernels.few_combine(
          call.task,
          i / p.Hq,
          i % p.Hq,
          row,
          all + static_cast<std::size_t>(key_head * parts) * floats +
              static_cast<std::size_t>(index) *
                  static_cast<std::size_t>(2 + p.Dv),
          static_cast<std::ptrdiff_t>(floats),
          parts);
    }
  });
}

void run_forward(const Call& call) {
  const auto items = forward_items(call);
  share(
      call.task.plan.threads,
      static_cast<int>(items.size()),
      [&](int thread, int i) {
        call.kernels.forward(
            call.task,
            call.cover,
            call.workspace,
            items[static_cast<std::size_t>(i)],
            call.of_thread(thread));
      });
}

void run_prepare(const Call& call, Shared& shared) {
  const Problem& p = call.task.problem;
  const int blocks = shared.grid().row_blocks;
  share(call.task.plan.threads, p.B * p.Hq * blocks, [&](int, int i) {
    const int head = i / blocks;
    call.kernels.prepare(
        call.task, shared, head / p.Hq, head % p.Hq, i % blocks);
  });
}

// In order: `Shared` relies on it.
void run_backward(const Call& call, Shared& shared) {
  const Problem& p = call.task.problem;
  const int items = p.B * p.Hkv * shared.grid().column_blocks;
  share(call.task.plan.threads, items, [&](int thread, int i) {
    const auto item = shared.item(i);
    call.kernels.backward(
        call.task,
        call.cover,
        shared,
        call.workspace,
        {item.batch, item.key_head, shared.column_block(item.column_block)},
        call.of_thread(thread));
  });
  call.kernels.finish(call.task, shared);
}

// [0, count) in single steps, or whole where it is summed over.
std::vector<Span> steps(int count, bool whole) {
  std::vector<Span> spans;
  if (whole) {
    spans.push_back({0, count});
  }
  for (int i = 0; !whole && i < count; ++i) {
    spans.push_back({i, i + 1});
  }
  return spans;
}

void run_dbias(const Call& call, Shared& shared) {
  const Problem& p = call.task.problem;
  const auto& strides = call.task[Operand::dbias].strides;
  std::vector<BiasTile> tiles;
  for (const Span b : steps(p.B, strides[0] == 0)) {
    for (const Span h : steps(p.Hq, strides[1] == 0)) {
      for (const Span r : steps(shared.grid().row_blocks, strides[2] == 0)) {
        for (const Span c :
             steps(shared.grid().column_blocks, strides[3] == 0)) {
          tiles.push_back({b, h, r, c});
        }
      }
    }
  }
  share(
      call.task.plan.threads,
      static_cast<int>(tiles.size()),
      [&](int thread, int i) {
        call.kernels.bias_gradient(
            call.task,
            call.cover,
            shared,
            call.workspace,
            tiles[static_cast<std::size_t>(i)],
            call.of_thread(thread));
      });
}

// Linux keeps room for the unit's registers only for a process that asks
// (Documentation/arch/x86/xstate.rst); its threads need not ask again.
bool has_amx() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr unsigned bfloat16 = 1u << 22;
  constexpr unsigned tile = 1u << 24;
  constexpr long request_permission = 0x1023;
  constexpr long tile_data = 18;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & bfloat16) != 0 &&
      (d & tile) != 0 &&
      syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

} // namespace

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas = {Isa::portable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    isas.push_back(Isa::avx2);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    isas.push_back(Isa::avx512);
    if (__builtin_cpu_supports("avx512bf16")) {
      isas.push_back(Isa::avx512_bf16);
      if (has_amx()) {
        isas.push_back(Isa::amx);
      }
    }
  }
#elif defined(__aarch64__)
  isas.push_back(Isa::neon);
#endif
  return isas;
}

Device this_device() {
  Device device;
  device.isa = supported_isas().back();
#if defined(__x86_64__)
  // Intel's processors take a dot product of pairs in two cycles, where they
  // take two multiply-adds of float32 in one: converting first is faster.
  if (device.isa == Isa::avx512_bf16 && __builtin_cpu_is("intel")) {
    device.isa = Isa::avx512;
  }
#endif
  device.threads =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  device.l2_bytes = l2_bytes();
  return device;
}

std::size_t workspace_bytes(const Task& task) {
  if (task.plan.split > 0) {
    const auto& p = task.problem;
    const auto parts = static_cast<std::size_t>(p.B) *
        static_cast<std::size_t>(p.Hkv * few_parts(p, task.plan));
    const auto floats = parts * few_part_floats(p) +
        few_workspace(p).floats * static_cast<std::size_t>(task.plan.threads);
    return alignment + floats * sizeof(float);
  }
  const auto own = workspace(task.problem, task.plan);
  const auto shared = task.problem.pass == Pass::forward
      ? 0
      : Shared::floats(
            task.problem, task.plan, grid_of(task.problem, task.plan)) *
          sizeof(float);
  return alignment + shared +
      own.bytes() * static_cast<std::size_t>(task.plan.threads);
}

void run(const Task& task, void* workspace) {
  const Call call(task, workspace);
  if (task.plan.split > 0) {
    return run_few(call);
  }
  if (task.problem.pass == Pass::forward) {
    return run_forward(call);
  }
  Shared shared(
      task, call.cover, grid_of(task.problem, task.plan), call.of_all());
  run_prepare(call, shared);
  if (task.problem.pass == Pass::backward) {
    run_backward(call, shared);
  } else {
    run_dbias(call, shared);
  }
}

} // namespace tessera::cpu
