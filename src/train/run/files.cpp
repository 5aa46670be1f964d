#include "train/run/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "model/file.h"
#include "model/json.h"
#include "tessera/error.h"

namespace tessera::train {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void reject_write(const fs::path& path, int error) {
  reject(
      "finetune",
      "expected to write {}; got: {}; free space or choose another folder",
      path.string(),
      std::strerror(error));
}

void sync_folder(const fs::path& folder) {
  int fd = ::open(folder.c_str(), O_RDONLY);
  if (fd < 0 || ::fsync(fd) != 0) {
    int error = errno;
    ::close(fd);
    reject_write(folder, error);
  }
  ::close(fd);
}

} // namespace

void write_json(const fs::path& path, const nlohmann::json& json) {
  write_file(path, [&](std::ostream& out) { out << text_of(json, 2) << '\n'; });
}

std::string text_of(const nlohmann::json& json, int indent) {
  using Handler = nlohmann::json::error_handler_t;
  return json.dump(indent, ' ', false, Handler::replace);
}

nlohmann::json read_json(const fs::path& path) {
  return parse_object(read_file(path, "finetune"), path.string(), "finetune");
}

void append_line(const fs::path& path, std::string_view line) {
  errno = 0;
  std::ofstream file(path, std::ios::app | std::ios::binary);
  file << line << '\n' << std::flush;
  if (!file) {
    reject_write(path, errno != 0 ? errno : EIO);
  }
}

void publish_folder(const fs::path& from, const fs::path& to) {
  sync_folder(from);
  if (::rename(from.c_str(), to.c_str()) != 0) {
    reject_write(to, errno);
  }
  sync_folder(to.parent_path());
}

void make_writable_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    reject_write(folder, error.value());
  }
  fs::path probe = folder / ".writable";
  int fd = ::open(probe.c_str(), O_CREAT | O_WRONLY, 0644);
  if (fd < 0) {
    reject_write(folder, errno);
  }
  ::close(fd);
  ::unlink(probe.c_str());
}

} // namespace tessera::train
