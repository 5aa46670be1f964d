#include "model/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

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

namespace {

constexpr std::string_view mark = ".tessera-";
constexpr std::string_view digits = "0123456789abcdef";
constexpr std::size_t digit_count = 8;
constexpr std::string_view suffix = ".tmp";

bool is_temporary(std::string_view name) {
  constexpr auto length = mark.size() + digit_count + suffix.size();
  if (name.size() <= length) {
    return false;
  }
  name.remove_prefix(name.size() - length);
  return name.starts_with(mark) && name.ends_with(suffix) &&
      name.substr(mark.size(), digit_count).find_first_not_of(digits) ==
      name.npos;
}

} // namespace

std::optional<fs::path> make_temporary(const fs::path& file) {
  std::random_device random;
  while (true) {
    auto name = file;
    name += fmt::format("{}{:08x}{}", mark, random(), suffix);
    // mkstemp would give it to its owner alone, whatever the umask says.
    const int descriptor =
        ::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      ::close(descriptor);
      return name;
    }
    if (errno != EEXIST) {
      return std::nullopt;
    }
  }
}

void remove_temporaries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error; // a folder that is not there holds none
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (is_temporary(entry.path().filename().string())) {
      found.push_back(entry.path());
    }
  }
  for (const auto& path : found) {
    fs::remove(path, error);
    if (error) {
      throw WriteError(path, error.value());
    }
  }
}

namespace {

void fill(
    const fs::path& temporary,
    const fs::path& file,
    const std::function<void(std::ostream&)>& write) {
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
}

} // namespace

void write_file(
    const fs::path& file, const std::function<void(std::ostream&)>& write) {
  const auto temporary = make_temporary(file);
  if (!temporary) {
    throw WriteError(file, errno);
  }
  try {
    fill(*temporary, file, write);
  } catch (...) {
    std::error_code ignored;
    fs::remove(*temporary, ignored);
    throw;
  }
  // The name is on the disk once its folder is.
  sync_to_disk(fs::absolute(file).parent_path());
}

} // namespace tessera
