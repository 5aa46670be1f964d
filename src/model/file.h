#pragma once

#include <filesystem>
#include <functional>
#include <optional>
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

// Makes an empty file beside `file`, of a name that nothing else has:
// "FILE.tessera-1a2b3c4d.tmp". None, and errno, where that cannot be.
std::optional<std::filesystem::path> make_temporary(
    const std::filesystem::path& file);

// Removes from a folder the files of such names: what a process that was killed
// left there. Nobody else may be writing in it.
void remove_temporaries(const std::filesystem::path& folder);

// Lets `write` fill a temporary file beside `file`, waits until it is on the
// disk and gives it its name: whoever opens `file` sees the old bytes or all of
// the new ones. WriteError where that cannot be; nothing is left then.
void write_file(
    const std::filesystem::path& file,
    const std::function<void(std::ostream&)>& write);

// Returns once the bytes of a file, or the names in a folder, are on the disk.
void sync_to_disk(const std::filesystem::path& path);

} // namespace tessera
