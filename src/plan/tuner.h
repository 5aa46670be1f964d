#pragma once

#include <cstddef>
#include <vector>

namespace tessera {

// Finds the cheapest of some candidates from costs that it is given: it knows
// no clock and no attention. Who drives it measures the candidate `next()` and
// tells `report` what it cost, until `done()`.
//
// Each round asks for every candidate that is still in, so that all see the
// same machine: slow drift hits them alike. From the second round on, one whose
// least cost exceeds the best's by more than `slack` is out; noise only adds to
// a cost, so a least cost that far off will not come back. Of those that stay,
// the one of the lowest median wins, the first at a tie: candidates come
// preferred first.
class Tuner {
 public:
  Tuner(int candidates, int rounds, double slack = 1.25);

  bool done() const;
  // The candidate to measure now, counted from 0. Not after `done()`.
  int next() const;
  // What it cost; infinite or NaN where it failed, which puts it out at once.
  void report(double cost);

  // The best by what was reported so far; -1 where every candidate failed or
  // nothing was measured.
  int best() const;
  // The median of a candidate's costs; infinite where there is none.
  double cost(int candidate) const;

 private:
  struct Candidate {
    std::vector<double> costs; // sorted
    bool out = false;
  };

  void advance();
  void prune();

  std::vector<Candidate> candidates_;
  int rounds_;
  double slack_;
  int round_ = 0;
  std::size_t current_ = 0;
};

} // namespace tessera
