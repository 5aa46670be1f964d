#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tokenizer.h"

namespace tessera {

struct ChatMessage {
  std::string role; // "system", "user" or "assistant"
  std::string content;
};

// The forms that a chat takes as text.
//   chatml  <|im_start|>role\ncontent<|im_end|>\n
//   qwen3   the same, with <think> in front of the last answer
//   llama2  <s>[INST] content [/INST] answer </s>
//   llama3  <|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>
//   zephyr  <|role|>\ncontent</s>\n
enum class ChatFamily { chatml, qwen3, llama2, llama3, zephyr };

// A tokenizer's chat template, recognised.
struct ChatTemplate {
  ChatFamily family = ChatFamily::chatml;
  // chatml: stands in front where no system message does.
  std::optional<std::string> default_system = std::nullopt;
  // The tokenizer's; empty where it has none.
  std::string bos_token = {};
  std::string eos_token = {};

  bool operator==(const ChatTemplate&) const = default;
};

// Reads the template of a tokenizer's folder: chat_template.jinja, or else
// chat_template in tokenizer_config.json (a string, or the "default" of a
// list). It is compared with the published ones as a parser of Jinja sees it,
// so that layout, quotes and the default system message do not matter. Any
// other, and a folder without one, is an InputError that tells it by its
// beginning.
ChatTemplate load_chat_template(const std::filesystem::path& folder);

// The text of a chat in parts. `answer` marks what the assistant says, with
// the token that ends it: what a model learns of a chat.
struct ChatPart {
  std::string text;
  bool answer = false;
};

// The text that transformers' apply_chat_template makes. A role that is none of
// the three, or an order that the template does not allow, is an InputError.
std::vector<ChatPart> render_chat(
    const ChatTemplate& chat, std::span<const ChatMessage> messages);

// What add_generation_prompt puts behind it: the beginning of an answer.
std::string_view generation_prompt(const ChatTemplate& chat);

struct ChatTokens {
  TokenIds tokens;
  std::vector<TokenSpan> context; // whatever is no answer
};

// The ids that apply_chat_template gives, without the generation prompt. A
// token that reaches over the beginning of an answer belongs to it.
ChatTokens encode_chat(
    const ChatTemplate& chat,
    const Tokenizer& tokenizer,
    std::span<const ChatMessage> messages);

} // namespace tessera
