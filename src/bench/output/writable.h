#pragma once

#include <filesystem>

namespace tessera::bench {

// Throws InputError, "[op] expected ... for FLAG; got ...", where no file can
// be made beside `file`: to be known before there is something to write.
void require_writable(
    const char* op, const char* flag, const std::filesystem::path& file);

} // namespace tessera::bench
