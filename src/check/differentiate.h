#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "check/arrays.h"

namespace tessera::cases {

using Function = std::function<mx::array(const Arrays&)>; // -> O

// The gradients are of Arrays::differentiated(), or of the first of them; none
// where none were asked for.
struct Values {
  mx::array O;
  std::vector<mx::array> gradients;
  std::optional<mx::array> L = std::nullopt; // [B, Hq, Nq], if to be compared
};

// O, and the gradients of what `arrays` differentiates; both unevaluated.
Values differentiate(
    const Arrays& arrays, const Function& function, const mx::array& dO);

} // namespace tessera::cases
