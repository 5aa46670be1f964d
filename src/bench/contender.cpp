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

std::optional<double> error_of(
    const Arrays& arrays, Contender& contender, bool backward) {
  const auto errors = errors_of(
      arrays,
      [&](const mx::array& dO) { return contender.values(dO, backward); },
      backward);
  return errors.empty() ? std::nullopt : std::optional(worst(errors));
}

MlxContender::MlxContender(const Arrays& arrays, Function function)
    : arrays_(arrays), function_(std::move(function)) {}

double MlxContender::time(Pass pass) {
  if (pass == Pass::forward) {
    return seconds_of([&] { mx::eval(function_(arrays_)); });
  }
  const auto values = differentiate(arrays_, function_, arrays_.dO);
  // What the forward pass leaves for the gradients stays held by their graph.
  mx::eval(values.O);
  return seconds_of([&] { mx::eval(values.gradients); });
}

std::optional<std::int64_t> MlxContender::memory(bool backward) {
  mx::synchronize();
  mx::clear_cache();
  const auto before = mx::get_active_memory();
  mx::reset_peak_memory();
  if (backward) {
    auto values = differentiate(arrays_, function_, arrays_.dO);
    values.gradients.push_back(values.O);
    mx::eval(values.gradients);
  } else {
    mx::eval(function_(arrays_));
  }
  const auto peak = mx::get_peak_memory();
  return static_cast<std::int64_t>(peak > before ? peak - before : 0);
}

std::optional<Values> MlxContender::values(const mx::array& dO, bool backward) {
  return backward ? differentiate(arrays_, function_, dO)
                  : Values{function_(arrays_), {}, std::nullopt};
}

} // namespace tessera::bench
