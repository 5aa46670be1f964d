#include <fmt/format.h>

#include <memory>
#include <random>
#include <stdexcept>
#include <variant>

#include "backend/cpu/launch.h"
#include "contender.h"
#include "plan/planner.h"

namespace tessera::bench {

namespace {

// Every operand, contiguous, of small random numbers.
struct Memory {
  std::vector<std::vector<std::byte>> data;
  std::array<cpu::View, operand_count> views;
  std::vector<std::byte> workspace;
};

std::shared_ptr<Memory> memory_of(const Problem& problem) {
  auto memory = std::make_shared<Memory>();
  std::mt19937 generator(1);
  for (std::size_t i = 0; i < operand_count; ++i) {
    const auto operand = static_cast<Operand>(i);
    const auto [B, H, N, D] = shape(operand, problem);
    const auto dtype = is_row_vector(operand) ? Dtype::float32 : problem.dtype;
    const std::int64_t h = H, n = N, d = D;
    auto& bytes = memory->data.emplace_back(
        static_cast<std::size_t>(B * h * n * d) * size_of(dtype));
    // The upper half of a float32 between 0.5 and 1 is a bfloat16, and a small
    // float16.
    for (std::size_t e = 0; e + 1 < bytes.size(); e += 2) {
      const bool high = dtype != Dtype::float32 || e % 4 == 2;
      const auto bits = high ? 0x3f00u | generator() % 128 : generator() % 256;
      bytes[e] = static_cast<std::byte>(bits & 0xffu);
      bytes[e + 1] = static_cast<std::byte>(bits >> 8);
    }
    memory->views[i] = {bytes.data(), dtype, {h * n * d, n * d, d, 1}};
  }
  return memory;
}

// Score elements that some pass computes with, over all heads.
double kept_scores(const Problem& p) {
  double kept = 0;
  for (int row = 0; row < p.Nq; ++row) {
    kept += p.mask().span(row).size();
  }
  return kept * p.B * p.Hq;
}

cpu::Task task_of(
    Problem problem, Pass pass, int block_size, const Memory& memory) {
  problem.pass = pass;
  const auto planned = make_plan(problem, cpu::this_device(), block_size);
  if (const auto* refusal = std::get_if<Refusal>(&planned)) {
    throw std::invalid_argument(refusal->reason);
  }
  auto task = cpu::make_task(problem, std::get<Plan>(planned), 0.1f);
  task.operands = memory.views;
  return task;
}

} // namespace

std::vector<Contender> tessera_cpu(const Problem& problem, int block_size) {
  const auto memory = memory_of(problem);
  std::vector<cpu::Task> tasks;
  for (const Pass pass : {Pass::forward, Pass::dQ, Pass::dKdV}) {
    tasks.push_back(task_of(problem, pass, block_size, *memory));
    memory->workspace.resize(
        std::max(memory->workspace.size(), cpu::workspace_bytes(tasks.back())));
  }
  const double product = kept_scores(problem) * (problem.D + problem.Dv);
  const auto pass = [=](std::size_t i) {
    cpu::run(tasks[i], memory->workspace.data());
  };
  // A forward pass has two products, a backward one at least five.
  return {
      {"tessera forward",
       2 * product,
       [=] {
         pass(0);
       }},
      {"tessera backward", 5 * product, [=] {
         cpu::run_row_dots(tasks[1]);
         pass(1);
         pass(2);
       }}};
}

} // namespace tessera::bench
