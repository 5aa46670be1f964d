#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace tessera {

// A folder of a test's own, gone with it.
struct Scratch {
  std::filesystem::path folder;

  Scratch() {
    auto name =
        (std::filesystem::temp_directory_path() / "tessera-XXXXXX").string();
    folder = ::mkdtemp(name.data());
  }
  ~Scratch() {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

} // namespace tessera
