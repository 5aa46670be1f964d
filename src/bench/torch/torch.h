#pragma once

#include <memory>
#include <string>

#include "bench/contender.h"
#include "bench/torch/child.h"

namespace tessera::bench {

// PyTorch in a process of its own, for as many cases as there are.
class Torch {
 public:
  // `python`: an interpreter. InputError where it has no PyTorch.
  Torch(const std::string& python, int threads);

  // On the same inputs as the others.
  std::unique_ptr<Contender> contender(const Arrays& arrays);

 private:
  Child child_;
  std::string version_;
};

} // namespace tessera::bench
