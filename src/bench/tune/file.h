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

// Replaces the file's table in one step; makes its folder. InputError where it
// cannot be written, or holds something else and `force` is not given.
void save_table(
    const Table& table, const std::filesystem::path& file, bool force);

} // namespace tessera
