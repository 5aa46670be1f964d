#include "bench/contender.h"

#include <chrono>
#include <utility>

namespace tessera::bench {

namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  return took.count();
}

} // namespace

Values differentiate(
    const Arrays& arrays, const Function& function, const mx::array& dO) {
  const auto [outputs, gradients] = mx::vjp(
      [&](const std::vector<mx::array>& inputs) -> std::vector<mx::array> {
        return {function(arrays.with(inputs))};
      },
      arrays.differentiated(),
      {dO});
  return {outputs[0], gradients};
}

MlxContender::MlxContender(const Arrays& arrays, Function function)
    : arrays_(arrays), function_(std::move(function)) {}

double MlxContender::time(Pass pass) {
  if (pass == Pass::forward) {
    return seconds_of([&] { mx::eval(function_(arrays_)); });
  }
  auto [O, gradients] = differentiate(arrays_, function_, arrays_.dO);
  // What the forward pass leaves for the gradients stays held by their graph.
  mx::eval(O);
  return seconds_of([&] { mx::eval(gradients); });
}

std::optional<std::int64_t> MlxContender::memory(bool backward) {
  mx::synchronize();
  mx::clear_cache();
  const auto before = mx::get_active_memory();
  mx::reset_peak_memory();
  if (backward) {
    auto [O, gradients] = differentiate(arrays_, function_, arrays_.dO);
    gradients.push_back(O);
    mx::eval(gradients);
  } else {
    mx::eval(function_(arrays_));
  }
  const auto peak = mx::get_peak_memory();
  return static_cast<std::int64_t>(peak > before ? peak - before : 0);
}

std::optional<Values> MlxContender::values(const mx::array& dO, bool backward) {
  return backward ? differentiate(arrays_, function_, dO)
                  : Values{function_(arrays_), {}};
}

} // namespace tessera::bench
