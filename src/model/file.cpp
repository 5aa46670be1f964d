#include "model/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

namespace tessera {

namespace fs = std::filesystem;

std::string read_file(const fs::path& file, std::string_view op) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    reject(op, "expected a file {}; got none", file.string());
  }
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream || !text) {
    reject(op, "expected a readable file; got {}", file.string());
  }
  return std::move(text).str();
}

WriteError::WriteError(const fs::path& path, int error)
    : InputError(fmt::format(
          "[write] expected to write {}; got: {}; free space there or choose "
          "another place",
          path.string(),
          std::strerror(error != 0 ? error : EIO))) {}

void sync_to_disk(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
#ifdef F_FULLFSYNC // macOS's fsync leaves the bytes in the drive's own cache
  const bool synced = descriptor >= 0 && ::fcntl(descriptor, F_FULLFSYNC) != -1;
#else
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
#endif
  const int error = errno;
  ::close(descriptor);
  if (!synced) {
    throw WriteError(path, error);
  }
}

void write_file(
    const fs::path& file, const std::function<void(std::ostream&)>& write) {
  auto temporary = file;
  temporary += ".tmp";
  try {
    errno = 0;
    std::ofstream stream(temporary, std::ios::binary | std::ios::trunc);
    write(stream);
    stream.close();
    if (!stream) {
      throw WriteError(file, errno);
    }
    sync_to_disk(temporary);
    if (::rename(temporary.c_str(), file.c_str()) != 0) {
      throw WriteError(file, errno);
    }
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
  // The name is on the disk once its folder is.
  sync_to_disk(fs::absolute(file).parent_path());
}

} // namespace tessera
