#include "text/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "tessera/error.h"

namespace tessera::text {

namespace {

using nlohmann::json;

const json null_value;

std::string shown(const json& value) {
  if (value.is_string()) {
    return fmt::format("\"{}\"", one_line(value.get_ref<const std::string&>()));
  }
  if (value.is_number() || value.is_boolean()) {
    return value.dump();
  }
  return value.is_null() ? "nothing" : fmt::format("an {}", value.type_name());
}

} // namespace

std::string one_line(std::string_view text) {
  constexpr std::size_t most = 120;
  auto cut = std::min(text.size(), most);
  while (cut < text.size() && (text[cut] & 0xC0) == 0x80) {
    --cut;
  }
  std::string out(text.substr(0, cut));
  std::replace_if(
      out.begin(),
      out.end(),
      [](unsigned char c) { return c < 0x20 || c == 0x7F; },
      '?');
  return cut < text.size() ? out + "..." : out;
}

std::ifstream open_file(
    std::string_view op, const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::error_code ignored;
  if (!in || std::filesystem::is_directory(file, ignored)) {
    reject(op, "expected a readable file; got {}", file.string());
  }
  return in;
}

std::string read_file(std::string_view op, const std::filesystem::path& file) {
  auto in = open_file(op, file);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) {
    reject(op, "expected a readable file; got {}", file.string());
  }
  return text;
}

json parse_json(
    std::string_view op,
    std::string_view text,
    const std::string& file,
    std::int64_t first_line) {
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    auto seen = text.substr(0, std::min(error.byte, text.size()));
    auto line = first_line + std::count(seen.begin(), seen.end(), '\n');
    auto column = seen.size() - (seen.rfind('\n') + 1);
    reject(
        op,
        "expected well-formed JSON; got a syntax error at column {} ({}:{})",
        column,
        file,
        line);
  } catch (const json::exception&) {
    reject(
        op,
        "expected numbers in range; got one that is not ({}:{})",
        file,
        first_line);
  }
}

JsonField::JsonField(
    const json& value, const std::string& file, std::string path)
    : value_(&value), file_(&file), path_(std::move(path)) {}

bool JsonField::is_null() const {
  return value_->is_null();
}

bool JsonField::is_string() const {
  return value_->is_string();
}

const json& JsonField::value() const {
  return *value_;
}

JsonField JsonField::operator[](const std::string& key) const {
  if (!value_->is_object()) {
    refuse("an object");
  }
  auto path = path_.empty() ? key : path_ + "." + key;
  auto found = value_->find(key);
  return {found == value_->end() ? null_value : *found, *file_, path};
}

std::vector<JsonField> JsonField::elements() const {
  if (!value_->is_array()) {
    refuse("an array");
  }
  std::vector<JsonField> out;
  out.reserve(value_->size());
  for (const auto& element : *value_) {
    out.emplace_back(element, *file_, fmt::format("{}[{}]", path_, out.size()));
  }
  return out;
}

void JsonField::for_each_member(
    const std::function<void(const std::string&, const JsonField&)>& visit)
    const {
  if (!value_->is_object()) {
    refuse("an object");
  }
  for (const auto& [key, value] : value_->items()) {
    visit(key, {value, *file_, path_});
  }
}

const std::string& JsonField::text() const {
  if (!is_string()) {
    refuse("a string");
  }
  return value_->get_ref<const std::string&>();
}

bool JsonField::flag() const {
  if (!value_->is_boolean()) {
    refuse("true or false");
  }
  return value_->get<bool>();
}

bool JsonField::flag_or(bool fallback) const {
  return is_null() ? fallback : flag();
}

std::int32_t JsonField::natural() const {
  constexpr std::uint64_t limit = 1 << 30;
  if (!value_->is_number_unsigned() || value_->get<std::uint64_t>() >= limit) {
    refuse("an integer from 0 to 2^30 - 1");
  }
  return value_->get<std::int32_t>();
}

void JsonField::refuse(std::string_view expected) const {
  refuse(expected, shown(*value_));
}

void JsonField::refuse(std::string_view expected, std::string_view got) const {
  reject(
      "tokenizer",
      "expected {} at {}; got {} ({})",
      expected,
      path_.empty() ? "the top level" : one_line(path_),
      one_line(got),
      *file_);
}

} // namespace tessera::text
