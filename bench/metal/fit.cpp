#include "fit.h"

#include <limits>

namespace tessera::bench {

namespace {

double squares(
    const std::vector<Point>& points, const metal::Machine& machine) {
  double sum = 0;
  for (const auto& point : points) {
    const double error =
        predict(point.plan, point.cost, machine).share - point.share;
    sum += error * error;
  }
  return sum;
}

} // namespace

double fit_overlap(const std::vector<Point>& points, metal::Machine machine) {
  double best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (int hundredths = 100; hundredths <= 1600; ++hundredths) {
    machine.overlap = hundredths / 100.0;
    const double sum = squares(points, machine);
    if (sum < least) {
      least = sum;
      best = machine.overlap;
    }
  }
  return best;
}

std::vector<double> leave_one_out(
    const std::vector<Point>& points, const metal::Machine& machine) {
  std::vector<double> shares;
  for (std::size_t out = 0; out < points.size(); ++out) {
    auto others = points;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(out));
    auto fitted = machine;
    fitted.overlap = fit_overlap(others, machine);
    shares.push_back(predict(points[out].plan, points[out].cost, fitted).share);
  }
  return shares;
}

} // namespace tessera::bench
