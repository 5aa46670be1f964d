#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

#include "tessera/error.h"

namespace tessera {

// What could not be written: it names the place, the system's reason (`error`
// is an errno) and what to do.
class WriteError : public InputError {
 public:
  WriteError(const std::filesystem::path& path, int error);
};

// The whole file. InputError "[op]" where it is none or cannot be read.
std::string read_file(const std::filesystem::path& file, std::string_view op);

// Lets `write` fill a temporary file beside `file`, waits until it is on the
// disk and gives it its name: whoever opens `file` sees the old bytes or all of
// the new ones. WriteError where that cannot be.
void write_file(
    const std::filesystem::path& file,
    const std::function<void(std::ostream&)>& write);

// Returns once the bytes of a file, or the names in a folder, are on the disk.
void sync_to_disk(const std::filesystem::path& path);

} // namespace tessera
