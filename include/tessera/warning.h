#pragma once

#include <functional>
#include <string>

namespace tessera {

// Is told, in a line, what a user should know though nothing is refused: that a
// GPU's kernel gave wrong values and is not used any more. Each warning comes
// once. It may come from any thread that calls `attention`.
using WarningHandler = std::function<void(const std::string&)>;

// Takes warnings from now on, in the whole process; the library itself prints
// none. An empty handler drops them.
void set_warning_handler(WarningHandler handler);

} // namespace tessera
