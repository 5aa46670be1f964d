#include "model/sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace tessera {

std::int32_t sample(
    std::span<const float> logits,
    float temperature,
    float top_p,
    double uniform) {
  const auto best = std::ranges::max_element(logits);
  if (temperature == 0) {
    return std::int32_t(best - logits.begin());
  }
  std::vector<double> weights(logits.size());
  std::ranges::transform(logits, weights.begin(), [&](float logit) {
    return std::exp((double(logit) - double(*best)) / double(temperature));
  });
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
    return weights[std::size_t(a)] > weights[std::size_t(b)];
  });

  const double total = std::reduce(weights.begin(), weights.end());
  double kept = 0;
  std::size_t count = 0;
  do {
    kept += weights[std::size_t(order[count++])];
  } while (count < order.size() && kept < double(top_p) * total);

  double left = uniform * kept;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    left -= weights[std::size_t(order[i])];
    if (left < 0) {
      return order[i];
    }
  }
  return order[count - 1];
}

} // namespace tessera
