#include "fuzz/mutate.h"

#include <limits>

namespace tessera::fuzz {

namespace {

using nlohmann::json;

std::string repeated(std::string_view part, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) {
    out += part;
  }
  return out;
}

// Texts that stand for something bad in a file, where a value may stand.
const std::vector<std::string>& raw_values() {
  static const std::vector<std::string> values = {
      repeated("[", 100'000),
      repeated("{\"a\":", 50'000),
      repeated("[", 3000) + repeated("]", 3000),
      repeated("{\"a\":", 1000) + "1" + repeated("}", 1000),
      "1e400",
      "-1e400",
      repeated("9", 5000),
      "99999999999999999999",
      "-99999999999999999999",
      "NaN",
      "Infinity",
      "0x10",
      "\"\\ud800\"",
      "\"\\u0000\"",
      "\"\xff\xfe\"",
      "\"\xed\xa0\x80\"",
      "\"" + repeated("x", 100'000) + "\"",
      "// comment\n1",
      ""};
  return values;
}

// The pointers of all values in a document.
void collect(
    const json& value,
    const json::json_pointer& at,
    std::vector<json::json_pointer>& out) {
  out.push_back(at);
  if (value.is_structured() && out.size() < 2000) {
    for (const auto& [key, member] : value.items()) {
      collect(member, value.is_array() ? at / std::stoul(key) : at / key, out);
    }
  }
}

// Members of an array again and again.
void repeat_members(json& value, Random& random) {
  if (value.is_array() && !value.empty()) {
    const json member = value[random.below(value.size())];
    for (std::size_t n = random.pick<std::size_t>({1, 2, 63, 3000}); n > 0;
         --n) {
      value.push_back(member);
    }
  }
}

void erase(json& document, const json::json_pointer& at) {
  json& parent = document.at(at.parent_pointer());
  parent.is_object() ? static_cast<void>(parent.erase(at.back()))
                     : parent.erase(std::stoul(at.back()));
}

void change(json& document, const json::json_pointer& at, Random& random) {
  json& value = document.at(at);
  switch (random.below(6)) {
    case 0:
      if (!at.empty()) {
        erase(document, at);
      }
      break;
    case 1:
      repeat_members(value, random);
      break;
    case 2:
      value = json::array({value, value});
      break;
    case 3:
      if (value.is_object()) {
        value["added"] = odd_value(random);
      }
      break;
    default:
      value = odd_value(random);
  }
}

// Puts a text in place of a marked value, or a key in twice.
std::string splice(std::string text, Random& random) {
  constexpr std::string_view mark = "\"@\"";
  const auto at = text.find(mark);
  if (at == text.npos) {
    return text;
  }
  const std::string& raw = random.pick(raw_values());
  return text.replace(at, mark.size(), raw);
}

std::string with_a_key_twice(const std::string& text, Random& random) {
  const auto begin = text.find('{', random.below(text.size()));
  const auto quote = text.find('"', begin == text.npos ? 0 : begin);
  const auto colon = text.find(':', quote == text.npos ? 0 : quote);
  if (begin == text.npos || quote == text.npos || colon == text.npos) {
    return text;
  }
  return text.substr(0, quote) + text.substr(quote, colon - quote) + ": 1, " +
      text.substr(quote);
}

} // namespace

json odd_value(Random& random) {
  static const std::vector<json> values = {
      nullptr,
      true,
      false,
      0,
      1,
      -1,
      2,
      7,
      64,
      65536,
      (1 << 24) + 1,
      1 << 30,
      std::numeric_limits<std::int32_t>::max(),
      std::numeric_limits<std::int64_t>::max(),
      std::numeric_limits<std::int64_t>::min(),
      std::numeric_limits<std::uint64_t>::max(),
      1e300,
      1e-300,
      0.5,
      "",
      "x",
      "a b",
      "\n",
      "<s>",
      "\u0000",
      "Sequence",
      "ByteLevel",
      "(a+)+b",
      "(a|aa)+$",
      "(?:a*)*c",
      "((a{1,100}){1,100}){1,100}",
      "a*a*a*a*a*b",
      "(?=(a+))a*b",
      "[\\p{L}--a]",
      "\\",
      "(",
      json::array(),
      json::object(),
      json::array({nullptr}),
      {{"type", "Sequence"}},
      {{"Regex", "(a+)+$"}},
      {{"String", "a"}},
      {{"type", "Replace"},
       {"pattern", {{"String", "a"}}},
       {"content", "aaaaaaaaaaaaaaaa"}}};
  return random.pick(values);
}

std::string mutate_bytes(std::string text, Random& random) {
  for (std::size_t count = 1 + random.below(4); count > 0; --count) {
    const auto at = random.below(text.size() + 1);
    const auto size = 1 + random.below(16);
    switch (text.empty() ? 3 : random.below(6)) {
      case 0:
        text.erase(at, size);
        break;
      case 1:
        if (at < text.size()) {
          text[at] = static_cast<char>(text[at] ^ (1 << random.below(8)));
        }
        break;
      case 2:
        text.insert(at, text.substr(random.below(text.size()), size));
        break;
      case 3:
        text.insert(at, 1, static_cast<char>(random.below(256)));
        break;
      case 4:
        text.resize(at);
        break;
      default:
        text.insert(at, random.pick(raw_values()));
    }
  }
  return text;
}

std::string mutate_json(const json& document, Random& random) {
  json changed = document;
  for (std::size_t count = 1 + random.below(3); count > 0; --count) {
    std::vector<json::json_pointer> pointers;
    collect(changed, json::json_pointer(), pointers);
    change(changed, random.pick(pointers), random);
  }
  const bool raw = random.one_in(4);
  if (raw) {
    std::vector<json::json_pointer> pointers;
    collect(changed, json::json_pointer(), pointers);
    changed.at(random.pick(pointers)) = "@";
  }
  std::string text =
      changed.dump(-1, ' ', false, json::error_handler_t::replace);
  if (raw) {
    text = splice(std::move(text), random);
  }
  return random.one_in(10) ? with_a_key_twice(text, random) : text;
}

} // namespace tessera::fuzz
