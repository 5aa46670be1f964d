#pragma once

#include "tessera/warning.h"

namespace tessera {

// Tells the handler in use, if there is one.
void warn(const std::string& text);

} // namespace tessera
