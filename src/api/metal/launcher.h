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

  // Holds arrays that nobody else does until what was launched has run.
  virtual void keep(const std::vector<mx::array>&) {}
  // Between two launches of a call, `left` of which are still to come.
  virtual void pause(int /*left*/) {}
};

// On a GPU's stream, by the nodes of MLX themselves.
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
  void keep(const std::vector<mx::array>& arrays) override;
  void pause(int left) override;

 private:
  mx::Stream stream_;
};

} // namespace tessera
