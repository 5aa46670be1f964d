#pragma once

#include <filesystem>
#include <string>
#include <variant>

#include "plan/table.h"

namespace tessera {

// ~/.cache/tessera/tune.json, the home that the system's user list has.
std::filesystem::path default_table_path();

// The table of a file, an empty one where there is none, or why it is none:
// "expected ...; got ...".
std::variant<Table, std::string> load_table(const std::filesystem::path& file);

// Throws InputError where the file cannot be written, or holds something else
// and `force` is not given; makes its folder. To be called before the work,
// too.
void check_table_file(const std::filesystem::path& file, bool force);

// Checks again, and adds the entries to those of the file in one step. No entry
// leaves the file as it is.
void save_table(
    const Table& entries, const std::filesystem::path& file, bool force);

} // namespace tessera
