#pragma once

#include <string>
#include <vector>

#include "contender.h"

namespace tessera::bench {

// A contender's rate over another's in the same round, or of the times where
// the work is not the same; above `target` is what is asked for.
struct Ratio {
  std::string name;
  std::size_t subject = 0; // of Group::contenders
  std::size_t baseline = 0;
  double target = 0;
  bool of_times = false; // the baseline's time over the subject's
};

// Contenders that are measured in turn, so that all see the same machine.
struct Group {
  std::string name;
  std::vector<Contender> contenders;
  std::vector<Ratio> ratios;
};

// Measures a group, after a round that warms up, and prints the median rate of
// each contender and of each ratio, with quartiles. Returns how many ratios
// fell short.
int measure(const Group& group, int rounds);

} // namespace tessera::bench
