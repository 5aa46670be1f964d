#pragma once

#include <mlx/mlx.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "api/problem.h"
#include "backend/cpu/task.h"
#include "plan/planner.h"
#include "plan/table.h"

namespace tessera {

// The processor at hand.
const Device& cpu_device();

// How it computes a problem.
struct CpuPlan {
  Planned planned;
  // What the saved table has for the problem, if the plan follows it; if not,
  // why: "" where there is nothing to follow, or a block size is given.
  std::optional<TableEntry> tuned = std::nullopt;
  std::string not_tuned = "";
};

CpuPlan plan_on_cpu(const Problem& problem, int block_size);

// One evaluation of a node on the CPU: gathers operands, allocates outputs and
// workspace, then queues the passes on the stream as one task. Whatever can
// fail does so before the task is queued.
class CpuCall {
 public:
  CpuCall(const Problem& problem, const AttentionSettings& settings);

  void add(Operand operand, const mx::array& input);
  void allocate(Operand operand, mx::array& output);

  // In the order that they are to run.
  void add_pass(Pass pass);

  void dispatch(mx::Stream stream);

 private:
  void* temporary(std::size_t bytes);

  Problem problem_;
  AttentionSettings settings_;
  std::array<cpu::View, operand_count> operands_{};
  std::vector<mx::array> temporaries_;
  std::vector<cpu::Task> tasks_;
  std::size_t bytes_ = 0; // of all operands
};

} // namespace tessera
