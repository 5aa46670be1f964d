#include "train/run/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "model/file.h"

namespace tessera::train {

// The file stays: who removed it could take it from under one who has just
// opened it, and two would hold locks on files of one name.
FolderLock::FolderLock(const std::filesystem::path& folder)
    : descriptor_(::open(
          (folder / ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) {
    throw WriteError(folder / ".lock", errno);
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    reject(
        "finetune",
        "expected a run folder that no other process works in; got {}; wait "
        "until that has ended, or choose another --adapter-path",
        folder.string());
  }
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

} // namespace tessera::train
