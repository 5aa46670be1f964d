#include "api/cpu_call.h"

#include <mlx/allocator.h>
#include <mlx/backend/cpu/encoder.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "api/problem.h"
#include "api/profile.h"
#include "backend/cpu/launch.h"
#include "tessera/error.h"

namespace tessera {

namespace {

// A row vector [B, H, N] gets an axis of one feature.
cpu::View view_of(const mx::array& x) {
  cpu::View view;
  view.data = const_cast<std::byte*>(x.data<std::byte>());
  view.dtype = dtype_of(x.dtype()).value();
  view.strides[3] = 1;
  for (std::size_t axis = 0; axis < x.ndim(); ++axis) {
    view.strides[axis] = x.strides()[axis];
  }
  return view;
}

} // namespace

Planned plan_on_cpu(const Problem& problem, int block_size) {
  static const Device device = cpu::this_device();
  return make_plan(problem, device, block_size);
}

CpuCall::CpuCall(const Problem& problem, float scale, int block_size)
    : problem_(problem), scale_(scale), block_size_(block_size) {}

void CpuCall::add(Operand operand, const mx::array& input) {
  operands_[slot(operand)] = view_of(input);
}

void CpuCall::allocate(Operand operand, mx::array& output) {
  output.set_data(mx::allocator::malloc(output.nbytes()));
  add(operand, output);
}

void CpuCall::add_row_dots() {
  const std::int64_t N = problem_.Nq;
  const std::int64_t H = problem_.Hq;
  auto E = temporary(static_cast<std::size_t>(problem_.B * H * N));
  operands_[slot(Operand::E)] = {
      E.data<std::byte>(), Dtype::float32, {H * N, N, 1, 1}};
  steps_.push_back({task(Pass::dQ), true});
}

void CpuCall::add_pass(Pass pass) {
  steps_.push_back({task(pass), false});
}

void CpuCall::dispatch(mx::Stream stream) {
  std::size_t bytes = 0;
  for (const auto& step : steps_) {
    bytes = std::max(bytes, cpu::workspace_bytes(step.task));
  }
  void* const workspace =
      temporary((bytes + sizeof(float) - 1) / sizeof(float)).data<std::byte>();
  auto& encoder = mx::cpu::get_command_encoder(stream);
  encoder.add_temporaries(std::move(temporaries_));
  encoder.dispatch([steps = std::move(steps_), workspace] {
    const auto start = std::chrono::steady_clock::now();
    double flops = 0;
    for (const auto& step : steps) {
      if (step.row_dots) {
        cpu::run_row_dots(step.task);
      } else {
        cpu::run(step.task, workspace);
        flops += useful_flops(step.task.problem);
      }
    }
    record_attention(std::chrono::steady_clock::now() - start, flops);
  });
}

cpu::Task CpuCall::task(Pass pass) const {
  Problem problem = problem_;
  problem.pass = pass;
  const auto planned = plan_on_cpu(problem, block_size_);
  if (const auto* refusal = std::get_if<Refusal>(&planned)) {
    fail("attention", "{}", refusal->reason);
  }
  auto task = cpu::make_task(problem, std::get<Plan>(planned), scale_);
  task.operands = operands_;
  return task;
}

mx::array CpuCall::temporary(std::size_t floats) {
  mx::array memory(
      mx::allocator::malloc(floats * sizeof(float)),
      {static_cast<int>(floats)},
      mx::float32);
  temporaries_.push_back(memory);
  return memory;
}

} // namespace tessera
