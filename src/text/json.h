#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::text {

// A file that cannot be read is an InputError of `op`.
std::ifstream open_file(std::string_view op, const std::filesystem::path& file);
std::string read_file(std::string_view op, const std::filesystem::path& file);

// `text` fit for the one line of an error: no control characters, not long.
std::string one_line(std::string_view text);

// A value of tokenizer.json that knows where it stands, so that each complaint
// can say it: "[tokenizer] expected a string at model.vocab; got a number
// (dir/tokenizer.json)". Refers to the document that it was made from.
class JsonField {
 public:
  JsonField(
      const nlohmann::json& value,
      const std::string& file,
      std::string path = "");

  bool is_null() const;
  bool is_string() const;
  const nlohmann::json& value() const;

  // A member of an object; null where there is none.
  JsonField operator[](const std::string& key) const;
  std::vector<JsonField> elements() const;
  void for_each_member(
      const std::function<void(const std::string&, const JsonField&)>& visit)
      const;

  const std::string& text() const;
  bool flag() const;
  bool flag_or(bool fallback) const;
  std::int32_t natural() const; // below 2^30, so that sums of two fit

  // InputError: "expected <expected> at <path>; got <what stands here>".
  [[noreturn]] void refuse(std::string_view expected) const;
  // InputError: "expected <expected> at <path>; got <got>".
  [[noreturn]] void refuse(
      std::string_view expected, std::string_view got) const;

 private:
  const nlohmann::json* value_;
  const std::string* file_;
  std::string path_;
};

// Parses the text of `file`, which begins at line `first_line`; a syntax error
// is an InputError of `op` that says line and column.
nlohmann::json parse_json(
    std::string_view op,
    std::string_view text,
    const std::string& file,
    std::int64_t first_line = 1);

} // namespace tessera::text
