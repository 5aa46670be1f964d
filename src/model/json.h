#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace tessera {

// An object of JSON. InputError "<source>:<line>" on anything else.
nlohmann::json parse_object(
    std::string_view text, std::string_view source, std::string_view op);

} // namespace tessera
