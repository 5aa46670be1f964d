#include "bench/output/writable.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tessera/error.h"

namespace tessera::bench {

void require_writable(
    const char* op, const char* flag, const std::filesystem::path& file) {
  // Rights alone do not tell: a disk may be full, or not be one to write to.
  std::string probe = std::filesystem::absolute(file).string() + ".XXXXXX";
  const int descriptor = ::mkstemp(probe.data());
  if (descriptor < 0) {
    reject(
        op,
        "expected a file that can be written for {}; got {} ({})",
        flag,
        file.string(),
        std::strerror(errno));
  }
  ::close(descriptor);
  ::unlink(probe.c_str());
}

} // namespace tessera::bench
