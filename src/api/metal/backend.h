#pragma once

#include <mlx/mlx.h>

#include <memory>
#include <optional>
#include <string>

#include "api/metal/launcher.h"
#include "api/problem.h"
#include "backend/metal/schedule.h"
#include "plan/table.h"

namespace tessera {

class Proofs;

// A GPU that kernels are written for, and where they are launched.
struct MetalBackend {
  metal::Family family = metal::Family::m1;
  std::shared_ptr<Launcher> launcher;
  double seconds = metal::launch_seconds; // that a launch may take
  // Of its plans, each before it is used; without, all are trusted.
  std::shared_ptr<Proofs> proofs = nullptr;
  std::string processor = ""; // its name, as the saved table has it
};

Machine machine_of(const MetalBackend& backend);

// The backend of a stream's device: MLX's GPU where it is Apple's. Nothing for
// the CPU, whose kernels are others, and for GPUs of other makers.
std::optional<MetalBackend> metal_backend(mx::Stream stream);

// The family of the GPU that MLX runs on; later ones count as the last that is
// known.
metal::Family this_family();

// For as long as it lives, calls on the CPU's streams go to this backend, in
// the whole process: so the kernels are tried where there is no GPU.
class MetalOnCpu {
 public:
  explicit MetalOnCpu(MetalBackend backend);
  ~MetalOnCpu();
  MetalOnCpu(const MetalOnCpu&) = delete;
  MetalOnCpu& operator=(const MetalOnCpu&) = delete;

 private:
  std::optional<MetalBackend> before_;
};

// Everything that a node on Metal decides its launches by, but the arrays.
metal::Call metal_call(
    const Problem& problem,
    const AttentionSettings& settings,
    const MetalBackend& backend);

} // namespace tessera
