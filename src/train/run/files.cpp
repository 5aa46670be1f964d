#include "train/run/files.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "model/file.h"
#include "model/json.h"

namespace tessera::train {

namespace fs = std::filesystem;

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

void append_bytes(const fs::path& path, std::string_view bytes) {
  errno = 0;
  std::ofstream file(path, std::ios::app | std::ios::binary);
  file << bytes << std::flush;
  if (!file) {
    throw WriteError(path, errno);
  }
}

void publish_folder(const fs::path& from, const fs::path& to) {
  sync_to_disk(from);
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw WriteError(to, errno);
  }
  sync_to_disk(fs::absolute(to).parent_path());
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) {
    throw WriteError(path, error.value());
  }
}

void make_writable_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::create_directories(folder, error)) {
    sync_to_disk(fs::absolute(folder).parent_path());
  }
  if (error) {
    throw WriteError(folder, error.value());
  }
  const auto probe = make_temporary(folder / "probe");
  if (!probe) {
    throw WriteError(folder, errno);
  }
  ::unlink(probe->c_str());
}

} // namespace tessera::train
