#pragma once

#include <mlx/mlx.h>

#include <optional>
#include <string>
#include <vector>

#include "backend/cpu/task.h"
#include "check/dtype.h"
#include "kernel/operand.h"
#include "plan/metal/planner.h"
#include "plan/problem.h"

namespace tessera {

namespace mx = mlx::core;

// Whose kernels compute a call.
enum class Route {
  device, // the stream's, once they are proven
  trial,  // the same, to prove them
  cpu,    // the CPU's, on its stream, where a GPU's were found wrong
};

// All of a call but its arrays: what the nodes of a call share.
struct AttentionSettings {
  Numbers numbers;
  bool causal = false;
  int left = unbounded;
  int right = unbounded;
  int chunk = 0;
  int block_rows = 0; // of the block list; 0: none
  int block_columns = 0;
  Features features;
  int block_size = 0; // of a tile; 0: the plan's own
  Route route = Route::device;
  metal::Tiles tiles{}; // of a trial's plans, on a GPU

  // By the CPU's kernels, whose blocks are others.
  AttentionSettings on_cpu() const {
    AttentionSettings settings = *this;
    settings.route = Route::cpu;
    settings.block_size = 0;
    return settings;
  }
  bool operator==(const AttentionSettings&) const = default;
};

// What the forward pass reads under these settings, in the order of a node's
// inputs: Q, K, V, then the features' arrays that are there.
std::vector<Operand> inputs_of(const AttentionSettings& settings);

// The problem that Q, K and V pose. Throws InputError, under the name
// "attention", where they do not fit together.
Problem problem_of(
    Pass pass,
    const AttentionSettings& settings,
    const mx::array& Q,
    const mx::array& K,
    const mx::array& V);

// "float32 (2,4,9,8)" and "(2,4,9,8)", for errors.
std::string text(const mx::array& x);
std::string text(const mx::Shape& shape);

} // namespace tessera
