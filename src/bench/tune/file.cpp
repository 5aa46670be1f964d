#include "bench/tune/file.h"

#include <pwd.h>
#include <unistd.h>

#include <ostream>

#include "model/file.h"
#include "tessera/error.h"

namespace tessera {

namespace fs = std::filesystem;

fs::path default_table_path() {
  const passwd* user = ::getpwuid(::getuid());
  const fs::path home =
      user != nullptr && user->pw_dir != nullptr ? user->pw_dir : ".";
  return home / ".cache" / "tessera" / "tune.json";
}

std::variant<Table, std::string> load_table(const fs::path& file) {
  std::error_code error;
  const auto status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) {
    return Table{};
  }
  // A table of every shape there is stays far below this.
  constexpr std::uintmax_t most = std::uintmax_t{64} << 20;
  if (status.type() != fs::file_type::regular ||
      fs::file_size(file, error) > most) {
    return std::string("expected a file up to 64 MiB; got something else");
  }
  try {
    return parse_table(read_file(file, "tune"));
  } catch (const InputError&) {
    return std::string("expected a file that can be read; got none");
  }
}

void save_table(const Table& table, const fs::path& file, bool force) {
  const auto before = load_table(file);
  if (const auto* reason = std::get_if<std::string>(&before);
      reason != nullptr && !force) {
    reject(
        "tune",
        "{} in {}; --force replaces it, --table names another file",
        *reason,
        file.string());
  }
  std::error_code error;
  fs::create_directories(fs::absolute(file).parent_path(), error);
  if (error) {
    reject(
        "tune",
        "expected a folder for {}; got: {}",
        file.string(),
        error.message());
  }
  write_file(file, [&](std::ostream& out) { out << to_text(table); });
}

} // namespace tessera
