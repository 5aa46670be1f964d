#include "api/metal/custom_kernel.h"
#include "api/metal/launcher.h"

#if defined(__APPLE__)
#include <mlx/backend/metal/device.h>
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
  keep(inputs);
  keep(outputs);
}

void MlxLauncher::join(
    const std::vector<mx::array>& parts, int axis, mx::array& output) {
  run_node(mx::concatenate(parts, axis, stream_), parts, output);
  keep(parts);
}

void MlxLauncher::copy(const mx::array& from, mx::array& to) {
  run_node(mx::contiguous(from, false, stream_), {from}, to);
  keep({to});
}

void MlxLauncher::keep([[maybe_unused]] const std::vector<mx::array>& arrays) {
#if defined(__APPLE__)
  mx::metal::get_command_encoder(stream_).add_temporaries(arrays);
#endif
}

} // namespace tessera
