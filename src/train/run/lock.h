#pragma once

#include <filesystem>

namespace tessera::train {

// Keeps other processes, and other runs of this one, from working in a run
// folder as long as it lives. It goes with the process, whatever ends that.
class FolderLock {
 public:
  // InputError where another holds it. Needs a folder that can be written; a
  // file system without locks keeps nobody out.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;

 private:
  int descriptor_; // -1: moved from
};

} // namespace tessera::train
