#include "bench/tune/file.h"

#include <pwd.h>
#include <unistd.h>

#include <ostream>
#include <utility>

#include "bench/output/writable.h"
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
  if (fs::file_size(file, error) == 0) {
    return parse_table("");
  }
  try {
    return parse_table(read_file(file, "tune"));
  } catch (const InputError&) {
    return std::string(
        "expected a file that may be read; got one without "
        "the right to");
  }
}

void check_table_file(const fs::path& file, bool force) {
  const auto before = load_table(file);
  if (const auto* reason = std::get_if<std::string>(&before)) {
    const bool replaceable = fs::is_regular_file(file);
    if (!force || !replaceable) {
      reject(
          "tune",
          "{} in {}; {}--table names another file",
          *reason,
          file.string(),
          replaceable ? "--force replaces it, " : "");
    }
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
  bench::require_writable("tune", "--table", file);
}

void save_table(const Table& entries, const fs::path& file, bool force) {
  if (entries.empty()) {
    return;
  }
  check_table_file(file, force);
  // As it is now: another run may have added to it.
  auto before = load_table(file);
  Table table;
  if (auto* kept = std::get_if<Table>(&before)) {
    table = std::move(*kept);
  }
  for (const auto& [key, entry] : entries) {
    table.insert_or_assign(key, entry);
  }
  write_file(file, [&](std::ostream& out) { out << to_text(table); });
}

} // namespace tessera
