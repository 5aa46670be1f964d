#include "model/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "tessera/error.h"

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

namespace {

bool flush_to_disk(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return false;
  }
  const bool flushed = ::fsync(descriptor) == 0;
  ::close(descriptor);
  return flushed;
}

} // namespace

void write_file(
    const fs::path& file, const std::function<void(std::ostream&)>& write) {
  auto temporary = file;
  temporary += ".tmp";
  std::ofstream stream(temporary, std::ios::binary | std::ios::trunc);
  write(stream);
  stream.close();
  std::error_code error;
  if (stream && flush_to_disk(temporary)) {
    fs::rename(temporary, file, error);
    // The name is on the disk once its folder is.
    if (!error && flush_to_disk(fs::absolute(file).parent_path())) {
      return;
    }
  }
  fs::remove(temporary, error);
  reject(
      "write", "expected to write {}; got no room or no right", file.string());
}

} // namespace tessera
