#pragma once

#include <string>
#include <vector>

namespace tessera::metal {

struct Finished {
  int status;
  std::string output; // what it printed and complained, together
};

// Seconds of processor time after which a program is ended. A text takes clang
// 10 at most; where it has too few registers, its allocator may never end.
constexpr unsigned most_seconds = 90;

// Runs a program without a shell, and waits. Throws ExecutionError where it
// would take more than `most_seconds`.
Finished run_program(const std::vector<std::string>& arguments);

} // namespace tessera::metal
