#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tessera/chat.h"

namespace tessera::text {

// The chat of {"messages": [{"role", "content"}, ...]}. `place` is its file and
// line, for errors: a message without the two, content that is no text, tools.
std::vector<ChatMessage> read_messages(
    const nlohmann::json& object, const std::string& place);

} // namespace tessera::text
