#include "check/differentiate.h"

namespace tessera::cases {

Values differentiate(
    const Arrays& arrays, const Function& function, const mx::array& dO) {
  const auto [outputs, gradients] = mx::vjp(
      [&](const std::vector<mx::array>& inputs) -> std::vector<mx::array> {
        return {function(arrays.with(inputs))};
      },
      arrays.differentiated(),
      {dO});
  return {outputs[0], gradients, std::nullopt};
}

} // namespace tessera::cases
