#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tessera/chat.h"
#include "tessera/error.h"
#include "text/chat/canonical.h"
#include "text/hash.h"
#include "text/json.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

using nlohmann::json;

// A published template, by the hash of its canonical form.
struct Known {
  std::uint64_t hash;
  ChatFamily family;
};

// tests/golden/chat holds their texts, and what transformers makes of them.
constexpr auto known = std::to_array<Known>({
    {0x8c281159de11637b, ChatFamily::chatml},
    {0x0d91153c7882beb9, ChatFamily::chatml}, // sets add_generation_prompt
    {0x1e8f4b6d938ee20a, ChatFamily::chatml}, // Qwen2, SmolLM2: default system
    {0xeedf4d2a37cf86aa, ChatFamily::chatml}, // Qwen2.5
    {0xa6cf61bacdce0a8c, ChatFamily::qwen3},
    {0x1fb8bdc8000683c5, ChatFamily::qwen3},  // as first published
    {0xaf463406988113df, ChatFamily::chatml}, // Qwen3 2507
    {0xd6e7f4abb11f6c2a, ChatFamily::llama2},
    {0x392471cb313b914b, ChatFamily::llama3},
    {0xaf42205d8493b49f, ChatFamily::zephyr}, // and TinyLlama
});

struct Source {
  fs::path file;
  std::string jinja;
};

[[noreturn]] void reject_template(const fs::path& file, std::string_view got) {
  reject(
      "chat",
      "expected the chat template of ChatML, Qwen2 to Qwen3, Llama 2, Llama 3 "
      "or Zephyr in {}; got {}; render the chats with apply_chat_template and "
      "give them as \"text\"",
      file.string(),
      got);
}

json read_object(const fs::path& file) {
  if (!fs::is_regular_file(file)) {
    return json::object();
  }
  auto object =
      text::parse_json("chat", text::read_file("chat", file), file.string());
  if (!object.is_object()) {
    reject("chat", "expected an object in {}", file.string());
  }
  return object;
}

// chat_template of tokenizer_config.json: a text, or a list of texts with
// names.
std::string template_of(const json& value, const fs::path& file) {
  if (value.is_string()) {
    return value;
  }
  if (value.is_array()) {
    for (const auto& entry : value) {
      if (entry.is_object() && entry.value("name", json()) == "default" &&
          entry.value("template", json()).is_string()) {
        return entry["template"];
      }
    }
  }
  reject_template(
      file, value.is_array() ? "a list without a \"default\"" : "none");
}

Source find_template(const fs::path& folder, const json& config) {
  const auto file = folder / "chat_template.jinja";
  if (fs::is_regular_file(file)) {
    return {file, text::read_file("chat", file)};
  }
  const auto in = folder / "tokenizer_config.json";
  return {in, template_of(config.value("chat_template", json()), in)};
}

// A special token is a text, or an object with one.
std::string token_of(const json& config, const char* name) {
  const auto value = config.value(name, json());
  const auto text = value.is_object() ? value.value("content", json()) : value;
  return text.is_string() ? text.get<std::string>() : std::string();
}

// What is told of a template that is not known.
std::string beginning(std::string_view jinja) {
  const auto start = jinja.find_first_not_of(" \t\r\n");
  return start == jinja.npos
      ? "an empty one"
      : fmt::format("one that begins {}", text::one_line(jinja.substr(start)));
}

} // namespace

ChatTemplate load_chat_template(const fs::path& folder) {
  const auto config = read_object(folder / "tokenizer_config.json");
  auto [file, jinja] = find_template(folder, config);
  std::erase(jinja, '\r');
  const auto canonical = text::canonical_template(jinja);
  const auto hash = canonical ? text::fnv1a(canonical->text) : 0;
  const auto row = std::ranges::find(known, hash, &Known::hash);
  if (!canonical || row == known.end()) {
    reject_template(file, beginning(jinja));
  }
  const auto tokens = read_object(folder / "special_tokens_map.json");
  const auto token = [&](const char* name) {
    const auto text = token_of(config, name);
    return text.empty() ? token_of(tokens, name) : text;
  };
  return {
      row->family,
      canonical->default_system,
      token("bos_token"),
      token("eos_token")};
}

} // namespace tessera
