#pragma once

#include <mlx/mlx.h>

#include <array>
#include <cstddef>
#include <vector>

#include "backend/cpu/task.h"
#include "plan/planner.h"

namespace tessera {

namespace mx = mlx::core;

// The plan of a problem for the processor at hand.
Planned plan_on_cpu(const Problem& problem, int block_size);

// One evaluation of a node on the CPU: gathers operands, allocates outputs and
// workspace, then queues the passes on the stream as one task. Whatever can
// fail does so before the task is queued.
class CpuCall {
 public:
  CpuCall(const Problem& problem, float scale, int block_size);

  void add(Operand operand, const mx::array& input);
  void allocate(Operand operand, mx::array& output);

  // Steps, in the order that they are to run.
  void add_row_dots();
  void add_pass(Pass pass);

  void dispatch(mx::Stream stream);

 private:
  struct Step {
    cpu::Task task;
    bool row_dots;
  };

  cpu::Task task(Pass pass) const;
  mx::array temporary(std::size_t floats);

  Problem problem_;
  float scale_;
  int block_size_;
  std::array<cpu::View, operand_count> operands_{};
  std::vector<mx::array> temporaries_;
  std::vector<Step> steps_;
};

} // namespace tessera
