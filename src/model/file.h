#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace tessera {

// The whole file. InputError "[op]" where it is none or cannot be read.
std::string read_file(const std::filesystem::path& file, std::string_view op);

// Lets `write` fill a temporary file beside `file`, waits until it is on the
// disk and gives it its name: whoever opens `file` sees the old bytes or all of
// the new ones. InputError where it cannot be written.
void write_file(
    const std::filesystem::path& file,
    const std::function<void(std::ostream&)>& write);

} // namespace tessera
