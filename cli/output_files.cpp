#include "cli/output_files.h"

#include <ostream>
#include <set>
#include <utility>

#include "bench/output/writable.h"
#include "model/file.h"
#include "tessera/error.h"

namespace tessera::cli {

namespace fs = std::filesystem;

void OutputFiles::add(
    const char* flag, const fs::path& path, std::function<std::string()> text) {
  if (!path.empty()) {
    files_.push_back({flag, path, std::move(text)});
  }
}

void OutputFiles::check(bool force) const {
  std::set<fs::path> paths;
  for (const auto& file : files_) {
    std::error_code error;
    const auto place = fs::weakly_canonical(fs::absolute(file.path), error);
    if (!paths.insert(place).second) {
      reject(
          op_,
          "expected a file of its own for {}; got {} again",
          file.flag,
          file.path.string());
    }
    if (!fs::is_directory(place.parent_path(), error)) {
      reject(
          op_,
          "expected a folder that exists for {}; got {}",
          file.flag,
          file.path.string());
    }
    bench::require_writable(op_, file.flag, file.path);
    const auto type = fs::status(file.path, error).type();
    const bool free = type == fs::file_type::not_found;
    if (!free && (!force || type != fs::file_type::regular)) {
      reject(
          op_,
          "expected a new file for {}; got {}, which exists{}",
          file.flag,
          file.path.string(),
          type == fs::file_type::regular ? " (--force replaces it)" : "");
    }
  }
}

void OutputFiles::write(bool force) const {
  check(force);
  for (const auto& file : files_) {
    write_file(file.path, [&](std::ostream& out) { out << file.text(); });
  }
}

} // namespace tessera::cli
