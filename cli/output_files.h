#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tessera::cli {

// Files that a command is to leave, each written in one step.
class OutputFiles {
 public:
  // `op`: the command that errors name.
  explicit OutputFiles(const char* op) : op_(op) {}

  // An empty path is no file.
  void add(
      const char* flag,
      const std::filesystem::path& path,
      std::function<std::string()> text);

  // Throws InputError where one exists and `force` is not given, where two are
  // the same, or where a folder is missing or none may write. To be called
  // before the work, too.
  void check(bool force) const;

  // Checks again and writes all.
  void write(bool force) const;

 private:
  struct File {
    const char* flag;
    std::filesystem::path path;
    std::function<std::string()> text;
  };
  const char* op_;
  std::vector<File> files_;
};

} // namespace tessera::cli
