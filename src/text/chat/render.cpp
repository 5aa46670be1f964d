#include <fmt/format.h>

#include <algorithm>

#include "tessera/chat.h"
#include "tessera/error.h"
#include "text/json.h"
#include "text/unicode/utf8.h"

namespace tessera {

namespace {

using Messages = std::span<const ChatMessage>;
using Parts = std::vector<ChatPart>;

bool is_python_space(char32_t c) {
  return text::is_white_space(c) || (c >= 0x1c && c <= 0x1f);
}

// Python's str.strip, and Jinja's trim.
std::string_view stripped(std::string_view text) {
  std::size_t begin = text.size();
  std::size_t end = 0;
  for (auto rest = text; !rest.empty();) {
    const auto at = text.size() - rest.size();
    if (!is_python_space(text::next_code_point(rest))) {
      begin = std::min(begin, at);
      end = text.size() - rest.size();
    }
  }
  return text.substr(std::min(begin, end), end - std::min(begin, end));
}

std::string_view without_leading_newlines(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}

std::string_view without_newlines(std::string_view text) {
  text = without_leading_newlines(text);
  return text.substr(0, text.find_last_not_of('\n') + 1);
}

bool says(const ChatMessage& message, std::string_view role) {
  return message.role == role;
}

std::string chatml_head(std::string_view role) {
  return fmt::format("<|im_start|>{}\n", role);
}

void add_chatml(
    Parts& parts, const ChatMessage& message, std::string_view content) {
  parts.push_back({chatml_head(message.role)});
  parts.push_back(
      {fmt::format("{}<|im_end|>", content), says(message, "assistant")});
  parts.push_back({"\n"});
}

Parts render_chatml(const ChatTemplate& chat, Messages messages) {
  Parts parts;
  if (chat.default_system && !says(messages.front(), "system")) {
    parts.push_back(
        {chatml_head("system") + *chat.default_system + "<|im_end|>\n"});
  }
  for (const auto& message : messages) {
    add_chatml(parts, message, message.content);
  }
  return parts;
}

// An answer's thoughts, <think>...</think>, and what follows them.
struct Answer {
  std::string_view thoughts;
  std::string_view content;
};

Answer split_thoughts(std::string_view content) {
  constexpr std::string_view open = "<think>";
  constexpr std::string_view close = "</think>";
  const auto end = content.find(close);
  if (end == content.npos) {
    return {{}, content};
  }
  auto thoughts = content.substr(0, end);
  thoughts = thoughts.substr(0, thoughts.find_last_not_of('\n') + 1);
  if (const auto begin = thoughts.rfind(open); begin != thoughts.npos) {
    thoughts.remove_prefix(begin + open.size());
  }
  content.remove_prefix(content.rfind(close) + close.size());
  return {without_newlines(thoughts), without_leading_newlines(content)};
}

// The last question: what stands behind it is told with its thoughts, what
// stands before without.
std::size_t last_question(Messages messages) {
  for (auto i = messages.size(); i-- > 0;) {
    const std::string_view content = messages[i].content;
    if (says(messages[i], "user") &&
        !(content.starts_with("<tool_response>") &&
          content.ends_with("</tool_response>"))) {
      return i;
    }
  }
  return messages.size() - 1;
}

Parts render_qwen3(Messages messages) {
  Parts parts;
  const auto question = last_question(messages);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!says(messages[i], "assistant")) {
      add_chatml(parts, messages[i], messages[i].content);
      continue;
    }
    const auto [thoughts, content] = split_thoughts(messages[i].content);
    const bool last = i + 1 == messages.size();
    if (i > question && (last || !thoughts.empty())) {
      const auto answer = fmt::format(
          "<think>\n{}\n</think>\n\n{}",
          thoughts,
          without_leading_newlines(content));
      add_chatml(parts, messages[i], answer);
    } else {
      add_chatml(parts, messages[i], content);
    }
  }
  return parts;
}

[[noreturn]] void reject_order(std::string_view got) {
  reject(
      "chat",
      "expected an optional system message, then user and assistant in turn, "
      "as the Llama-2 template has it; got {}",
      got);
}

Parts render_llama2(const ChatTemplate& chat, Messages messages) {
  Parts parts;
  std::string system;
  if (says(messages.front(), "system")) {
    system = fmt::format("<<SYS>>\n{}\n<</SYS>>\n\n", messages.front().content);
    messages = messages.subspan(1);
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!says(messages[i], i % 2 == 0 ? "user" : "assistant")) {
      reject_order(fmt::format("{} as number {}", messages[i].role, i + 1));
    }
    if (i % 2 == 0) {
      const auto content = (i == 0 ? system : "") + messages[i].content;
      parts.push_back({fmt::format(
          "{}[INST] {} [/INST]", chat.bos_token, stripped(content))});
    } else {
      parts.push_back(
          {fmt::format(" {} {}", stripped(messages[i].content), chat.eos_token),
           true});
    }
  }
  return parts;
}

Parts render_llama3(const ChatTemplate& chat, Messages messages) {
  Parts parts = {{chat.bos_token}};
  for (const auto& message : messages) {
    parts.push_back({fmt::format(
        "<|start_header_id|>{}<|end_header_id|>\n\n", message.role)});
    parts.push_back(
        {fmt::format("{}<|eot_id|>", stripped(message.content)),
         says(message, "assistant")});
  }
  return parts;
}

Parts render_zephyr(const ChatTemplate& chat, Messages messages) {
  Parts parts;
  for (const auto& message : messages) {
    parts.push_back({fmt::format("<|{}|>\n", message.role)});
    parts.push_back(
        {message.content + chat.eos_token, says(message, "assistant")});
    parts.push_back({"\n"});
  }
  return parts;
}

std::vector<ChatMessage> checked(Messages messages) {
  if (messages.empty()) {
    reject("chat", "expected at least one message; got none");
  }
  std::vector<ChatMessage> result;
  for (const auto& [role, content] : messages) {
    if (role != "system" && role != "user" && role != "assistant") {
      reject(
          "chat",
          "expected the role system, user or assistant; got \"{}\"",
          text::one_line(role));
    }
    result.push_back({role, text::replace_ill_formed(content)});
  }
  return result;
}

} // namespace

std::vector<ChatPart> render_chat(const ChatTemplate& chat, Messages messages) {
  const auto all = checked(messages);
  switch (chat.family) {
    case ChatFamily::chatml:
      return render_chatml(chat, all);
    case ChatFamily::qwen3:
      return render_qwen3(all);
    case ChatFamily::llama2:
      return render_llama2(chat, all);
    case ChatFamily::llama3:
      return render_llama3(chat, all);
    case ChatFamily::zephyr:
      return render_zephyr(chat, all);
  }
  fail("chat", "unknown family of templates");
}

std::string_view generation_prompt(const ChatTemplate& chat) {
  switch (chat.family) {
    case ChatFamily::chatml:
    case ChatFamily::qwen3:
      return "<|im_start|>assistant\n";
    case ChatFamily::llama2:
      return "";
    case ChatFamily::llama3:
      return "<|start_header_id|>assistant<|end_header_id|>\n\n";
    case ChatFamily::zephyr:
      return "<|assistant|>\n";
  }
  fail("chat", "unknown family of templates");
}

namespace {

std::int32_t common_prefix(const TokenIds& a, const TokenIds& b) {
  const auto end = std::ranges::mismatch(a, b).in1;
  return static_cast<std::int32_t>(end - a.begin());
}

} // namespace

ChatTokens encode_chat(
    const ChatTemplate& chat, const Tokenizer& tokenizer, Messages messages) {
  const auto parts = render_chat(chat, messages);
  std::string whole;
  for (const auto& part : parts) {
    whole += part.text;
  }
  ChatTokens result{tokenizer.encode(whole, false), {}};
  const auto tokens_until = [&](std::size_t byte) {
    const auto before = tokenizer.encode(whole.substr(0, byte), false);
    return common_prefix(before, result.tokens);
  };
  std::int32_t begin = 0; // of the context
  std::size_t byte = 0;
  for (const auto& part : parts) {
    if (part.answer) {
      const auto end = tokens_until(byte);
      if (begin < end) {
        result.context.push_back({begin, end});
      }
      begin = tokens_until(byte + part.text.size());
    }
    byte += part.text.size();
  }
  const auto size = static_cast<std::int32_t>(result.tokens.size());
  if (begin < size) {
    result.context.push_back({begin, size});
  }
  return result;
}

} // namespace tessera
