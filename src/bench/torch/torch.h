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

  std::unique_ptr<Contender> contender(const AttentionCase& c);

 private:
  Child child_;
  std::string version_;
};

} // namespace tessera::bench
