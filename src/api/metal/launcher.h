#pragma once

#include <mlx/mlx.h>

#include <vector>

#include "backend/metal/launch.h"

namespace tessera {

namespace mx = mlx::core;

// Where launches go: MLX's Metal backend, or what executes their text
// elsewhere. Arrays that are written come without data.
class Launcher {
 public:
  virtual ~Launcher() = default;

  virtual void launch(
      const metal::Launch& launch,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) = 0;
  virtual void join(
      const std::vector<mx::array>& parts, int axis, mx::array& output) = 0;
  // A copy of `from` without gaps.
  virtual void copy(const mx::array& from, mx::array& to) = 0;
};

// On a GPU's stream, by the nodes of MLX themselves. Intermediate arrays are
// kept until the command buffer is done.
class MlxLauncher : public Launcher {
 public:
  explicit MlxLauncher(mx::Stream stream) : stream_(stream) {}

  void launch(
      const metal::Launch& launch,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override;
  void join(const std::vector<mx::array>& parts, int axis, mx::array& output)
      override;
  void copy(const mx::array& from, mx::array& to) override;

 private:
  void keep(const std::vector<mx::array>& arrays);

  mx::Stream stream_;
};

} // namespace tessera
