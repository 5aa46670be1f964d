#include "bench/measure/spread.h"

#include <algorithm>

namespace tessera::bench {

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto last = values.size() - 1;
  const double middle = (values[last / 2] + values[(last + 1) / 2]) / 2;
  return {
      middle,
      values.front(),
      values[last / 4],
      values[last - last / 4],
      values.back()};
}

} // namespace tessera::bench
