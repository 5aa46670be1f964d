#include "api/node/cpu_call.h"

#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <variant>

#include "api/node/memory.h"
#include "api/profile.h"
#include "api/tuning.h"
#include "backend/cpu/launch.h"
#include "tessera/error.h"

namespace tessera {

namespace {

// Operands that stand for all of an axis where theirs is 1.
bool is_broadcast(Operand operand) {
  switch (operand) {
    case Operand::bias:
    case Operand::slopes:
    case Operand::dbias:
    case Operand::dslopes:
    case Operand::mask:
    case Operand::blocks:
      return true;
    default:
      return false;
  }
}

cpu::View view_of(Operand operand, const mx::array& x) {
  cpu::View view;
  view.data = const_cast<std::byte*>(x.data<std::byte>());
  view.dtype = dtype_of(x.dtype()).value_or(Dtype::float32);
  if (is_row_vector(operand)) {
    view.strides[3] = 1; // [B, H, N] gets an axis of one feature
  }
  for (std::size_t axis = 0; axis < x.ndim(); ++axis) {
    const bool repeated =
        is_broadcast(operand) && x.shape(static_cast<int>(axis)) == 1;
    view.strides[axis] = repeated ? 0 : x.strides()[axis];
  }
  return view;
}

// The input whose layout an output takes, so that whoever joined heads and rows
// in one gets the other back the same way, without a copy.
std::optional<Operand> argument_like(Operand output) {
  switch (output) {
    case Operand::O:
    case Operand::dQ:
      return Operand::Q;
    case Operand::dK:
      return Operand::K;
    case Operand::dV:
      return Operand::V;
    default:
      return std::nullopt;
  }
}

// A view [B, H, N, D] of memory [B, N, H, D].
bool has_heads_inside(const cpu::View& x) {
  return x.strides[1] < x.strides[2];
}

} // namespace

const Device& cpu_device() {
  static const Device device = [] {
    Device here = cpu::this_device();
    const auto& facts = mx::device_info(mx::Device::cpu);
    const auto name = facts.find("device_name");
    here.processor =
        name == facts.end() ? "unknown" : std::get<std::string>(name->second);
    return here;
  }();
  return device;
}

CpuPlan plan_on_cpu(const Problem& problem, int block_size) {
  const Device& device = cpu_device();
  const auto entry =
      block_size == 0 ? tuned(problem, machine_of(device)) : std::nullopt;
  if (!entry) {
    return {make_plan(problem, device, block_size)};
  }
  auto planned =
      make_plan(problem, device, Blocks{entry->rows, entry->columns});
  if (const auto* refusal = std::get_if<Refusal>(&planned)) {
    // The table is of other kernels, or was changed by hand.
    return {make_plan(problem, device), std::nullopt, refusal->reason};
  }
  return {std::move(planned), entry};
}

CpuCall::CpuCall(const Problem& problem, const AttentionSettings& settings)
    : problem_(problem), settings_(settings) {}

void CpuCall::add(Operand operand, const mx::array& input) {
  operands_[slot(operand)] = view_of(operand, input);
  // Broadcast arrays hold less than they have elements.
  bytes_ += input.itemsize() * std::min(input.size(), input.data_size());
}

void CpuCall::allocate(Operand operand, mx::array& output) {
  auto data = tessera::allocate(output.nbytes());
  const auto like = argument_like(operand);
  if (like && has_heads_inside(operands_[slot(*like)])) {
    const std::int64_t H = output.shape(1);
    const std::int64_t N = output.shape(2);
    const std::int64_t D = output.shape(3);
    mx::array::Flags flags{};
    flags.contiguous = true; // dense, in another order
    output.set_data(
        std::move(data), output.size(), {N * H * D, D, H * D, 1}, flags);
  } else {
    output.set_data(std::move(data));
  }
  add(operand, output);
}

void CpuCall::add_pass(Pass pass) {
  cpu::Task task;
  task.problem = problem_;
  task.problem.pass = pass;
  const auto planned = plan_on_cpu(task.problem, settings_.block_size).planned;
  if (const auto* refusal = std::get_if<Refusal>(&planned)) {
    fail("attention", "{}", refusal->reason);
  }
  task.plan = std::get<Plan>(planned);
  task.numbers = settings_.numbers;
  task.operands = operands_;
  tasks_.push_back(task);
}

void CpuCall::dispatch(mx::Stream stream) {
  std::size_t room = 0;
  for (const auto& task : tasks_) {
    room = std::max(room, cpu::workspace_bytes(task));
  }
  void* const workspace = temporary(room);
  auto& encoder = mx::cpu::get_command_encoder(stream);
  encoder.add_temporaries(std::move(temporaries_));
  encoder.dispatch([tasks = std::move(tasks_), workspace, bytes = bytes_] {
    const auto start = std::chrono::steady_clock::now();
    for (const auto& task : tasks) {
      cpu::run(task, workspace);
    }
    const auto time = std::chrono::steady_clock::now() - start;
    double flops = 0;
    for (const auto& task : tasks) {
      flops += useful_flops(task);
    }
    record_attention(
        tasks.front().problem.pass,
        {1,
         std::chrono::duration<double>(time).count(),
         flops,
         static_cast<double>(bytes)});
  });
}

void* CpuCall::temporary(std::size_t bytes) {
  constexpr int row = 1024; // floats; an axis counts in int
  const auto rows = bytes / (row * sizeof(float)) + 1;
  mx::array memory(
      tessera::allocate(rows * row * sizeof(float)),
      {static_cast<int>(rows), row},
      mx::float32);
  temporaries_.push_back(memory);
  return memory.data<std::byte>();
}

} // namespace tessera
