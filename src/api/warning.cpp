#include "api/warning.h"

#include <mutex>
#include <utility>

namespace tessera {

namespace {

std::mutex mutex;
WarningHandler current;

} // namespace

void set_warning_handler(WarningHandler handler) {
  std::lock_guard lock(mutex);
  current = std::move(handler);
}

void warn(const std::string& text) {
  WarningHandler handler;
  {
    std::lock_guard lock(mutex);
    handler = current;
  }
  if (handler) {
    handler(text);
  }
}

} // namespace tessera
