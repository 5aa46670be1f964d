#include "text/chat/messages.h"

#include "tessera/error.h"

namespace tessera::text {

namespace {

using nlohmann::json;

// What some templates print and none of ours reads.
void check_unsupported(const json& object, const std::string& place) {
  for (const auto* key :
       {"tools", "tool_calls", "function_call", "reasoning_content"}) {
    const auto value = object.value(key, json());
    if (!value.is_null() && !value.empty()) {
      reject(
          "dataset",
          "expected messages of \"role\" and \"content\" alone; got \"{}\" "
          "({}); render the chats with apply_chat_template and give them as "
          "\"text\"",
          key,
          place);
    }
  }
}

std::string string_at(
    const json& message, const char* key, const std::string& place) {
  const auto value = message.value(key, json());
  if (!value.is_string()) {
    reject(
        "dataset",
        "expected a string at \"{}\" of each message; got {} ({})",
        key,
        message.contains(key) ? value.type_name() : "none",
        place);
  }
  return value;
}

} // namespace

std::vector<ChatMessage> read_messages(
    const json& object, const std::string& place) {
  const auto& list = object.at("messages");
  if (!list.is_array() || list.empty()) {
    reject(
        "dataset",
        "expected a list of messages at \"messages\"; got {} ({})",
        list.is_array() ? "an empty one" : list.type_name(),
        place);
  }
  check_unsupported(object, place);
  std::vector<ChatMessage> messages;
  for (const auto& message : list) {
    if (!message.is_object()) {
      reject(
          "dataset",
          "expected an object for each message; got {} ({})",
          message.type_name(),
          place);
    }
    check_unsupported(message, place);
    messages.push_back(
        {string_at(message, "role", place),
         string_at(message, "content", place)});
  }
  return messages;
}

} // namespace tessera::text
