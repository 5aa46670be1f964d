#include "api/metal/custom_kernel.h"
#include "api/metal/launcher.h"

#if defined(__APPLE__)
#include <mlx/backend/metal/device.h>
#include <mlx/scheduler.h>
#endif

namespace tessera {

namespace {

// Runs the node that made `recipe` on other arrays. MLX keeps the classes of
// its nodes to itself.
void run_node(
    const mx::array& recipe,
    const std::vector<mx::array>& inputs,
    const mx::array& output) {
  std::vector<mx::array> outputs = {output};
  recipe.primitive().eval_gpu(inputs, outputs);
}

} // namespace

void MlxLauncher::launch(
    const metal::Launch& launch,
    const std::vector<mx::array>& inputs,
    std::vector<mx::array>& outputs) {
  custom_kernel(launch, stream_)->eval_gpu(inputs, outputs);
}

void MlxLauncher::join(
    const std::vector<mx::array>& parts, int axis, mx::array& output) {
  run_node(mx::concatenate(parts, axis, stream_), parts, output);
}

void MlxLauncher::copy(const mx::array& from, mx::array& to) {
  run_node(mx::contiguous(from, false, stream_), {from}, to);
}

void MlxLauncher::keep([[maybe_unused]] const std::vector<mx::array>& arrays) {
#if defined(__APPLE__)
  // Not as temporaries: of those the encoder forgets who wrote them, and then
  // no later one waits. They hang on an empty temporary instead.
  mx::allocator::Data none(
      mx::allocator::Buffer(nullptr), [arrays](mx::allocator::Buffer) {});
  mx::metal::get_command_encoder(stream_).add_temporary(
      mx::array(std::move(none), mx::Shape{1}, mx::uint8));
#endif
}

// MLX asks whether a command buffer is full only after a node. A call of many
// launches commits on its way, as MLX itself does; not when so few are left
// that MLX would find the next buffer not full: it then looks at the one that
// it saw before the node.
void MlxLauncher::pause([[maybe_unused]] int left) {
#if defined(__APPLE__)
  auto& encoder = mx::metal::get_command_encoder(stream_);
  const int most = std::get<0>(
      mx::metal::device(stream_.device).get_max_ops_mb_per_buffer());
  if (!encoder.needs_commit() || left <= most) {
    return;
  }
  encoder.end_encoding();
  mx::scheduler::notify_new_task(stream_);
  encoder.commit(
      [stream = stream_] { mx::scheduler::notify_task_completion(stream); });
  if (mx::scheduler::n_active_tasks() > 2) {
    mx::scheduler::wait_for_one(); // what they hold is let go
  }
#endif
}

} // namespace tessera
