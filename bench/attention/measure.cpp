#include "measure.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "bench/measure/spread.h"

namespace tessera::bench {

namespace {

struct Sample {
  double rate = 0;
  double seconds = 0;
};

Sample sample(const Contender& contender) {
  if (contender.rate) {
    return {contender.rate(), 0};
  }
  // OpenBLAS's threads spin for 2^28 cycles after a call, on the cores that the
  // next contender is to have.
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  const auto start = std::chrono::steady_clock::now();
  contender.run();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  return {contender.work / took.count(), took.count()};
}

// By contender, then by round.
using Samples = std::vector<std::vector<Sample>>;

Samples measure_all(const std::vector<Contender>& contenders, int rounds) {
  Samples samples(contenders.size());
  for (int round = 0; round <= rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const auto one = sample(contenders[i]);
      if (round > 0) { // the first warms up
        samples[i].push_back(one);
      }
    }
  }
  return samples;
}

void print_rates(const Group& group, const Samples& samples) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    std::vector<double> rates;
    std::vector<double> milliseconds;
    for (const auto& one : samples[i]) {
      rates.push_back(one.rate / 1e9);
      milliseconds.push_back(one.seconds * 1e3);
    }
    const auto rate = spread_of(rates);
    fmt::print(
        "    {:<22} {:9.1f} {} ({:.1f} to {:.1f}) {:10.3f} ms\n",
        group.contenders[i].name,
        rate.median,
        group.contenders[i].unit,
        rate.lower_quartile,
        rate.upper_quartile,
        spread_of(milliseconds).median);
  }
}

bool print_ratio(const Ratio& ratio, const Samples& samples) {
  std::vector<double> values;
  for (std::size_t round = 0; round < samples[ratio.subject].size(); ++round) {
    const auto& subject = samples[ratio.subject][round];
    const auto& baseline = samples[ratio.baseline][round];
    values.push_back(
        ratio.of_times ? baseline.seconds / subject.seconds
                       : subject.rate / baseline.rate);
  }
  const auto value = spread_of(values);
  const bool reached = value.median >= ratio.target;
  fmt::print(
      "  {:<36} {:6.3f} ({:.3f} to {:.3f}){}\n",
      ratio.name,
      value.median,
      value.lower_quartile,
      value.upper_quartile,
      ratio.target == 0 ? ""
                        : fmt::format(
                              "  target {:.2f}  {}",
                              ratio.target,
                              reached ? "reached" : "SHORT"));
  return reached;
}

} // namespace

int measure(const Group& group, int rounds) {
  fmt::print("{}\n", group.name);
  const auto samples = measure_all(group.contenders, rounds);
  print_rates(group, samples);
  int short_of = 0;
  for (const auto& ratio : group.ratios) {
    short_of += print_ratio(ratio, samples) ? 0 : 1;
  }
  std::fflush(stdout);
  return short_of;
}

} // namespace tessera::bench
