#pragma once

#include <string>
#include <vector>

namespace tessera::metal {

struct Finished {
  int status;
  std::string output; // what it printed and complained, together
};

// Runs a program without a shell, and waits.
Finished run_program(const std::vector<std::string>& arguments);

} // namespace tessera::metal
