#pragma once

#include <string>
#include <string_view>

namespace tessera::train {

// A page with the common style in place of {{style}} and `json` in place of
// {{data}}, which stands in a <script>.
std::string page_of(std::string_view page, std::string_view json);

} // namespace tessera::train
