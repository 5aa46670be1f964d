#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "check/check.h"
#include "plan/problem.h"

namespace tessera::bench {

using namespace cases;

// Thrown by a contender that turns out not to be able to run a case.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Something to time on one case. An empty `skipped` says that it can be run.
class Contender {
 public:
  virtual ~Contender() = default;

  std::string name;
  std::string path;
  std::string skipped;

  // The seconds of one pass; of a backward one, without the forward one.
  virtual double time(Pass pass) = 0;
  // The most bytes held beyond the inputs while the passes run once.
  virtual std::optional<std::int64_t> memory(bool backward) = 0;
  // What it computes for a cotangent `dO`, unevaluated or not; absent where
  // that is not to be compared.
  virtual std::optional<Values> values(const mx::array& dO, bool backward) = 0;
};

// One file each.
std::unique_ptr<Contender> tessera_contender(const Arrays& arrays);
std::unique_ptr<Contender> mlx_contender(const Arrays& arrays, bool backward);

// Times a function of MLX arrays.
class MlxContender : public Contender {
 public:
  MlxContender(const Arrays& arrays, Function function);

  double time(Pass pass) override;
  std::optional<std::int64_t> memory(bool backward) override;
  std::optional<Values> values(const mx::array& dO, bool backward) override;

 private:
  Arrays arrays_;
  Function function_;
};

// The worst of its results, as errors_of has it; absent where there is nothing
// to compare.
std::optional<double> error_of(
    const Arrays& arrays, Contender& contender, bool backward);

} // namespace tessera::bench
