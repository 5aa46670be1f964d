#include "model/json.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera {

namespace {

// Comparing and printing a value recurse; no file of ours nests deeper than 4.
constexpr int max_depth = 64;

} // namespace

nlohmann::json parse_object(
    std::string_view text, std::string_view source, std::string_view op) {
  const auto shallow = [&](int depth, nlohmann::json::parse_event_t, auto&) {
    if (depth > max_depth) {
      reject(op, "expected at most {} nested values in {}", max_depth, source);
    }
    return true;
  };
  try {
    auto value = nlohmann::json::parse(text, shallow);
    if (!value.is_object()) {
      reject(op, "expected an object in {}; got {}", source, value.type_name());
    }
    return value;
  } catch (const nlohmann::json::parse_error& error) {
    const auto end = std::min(error.byte, text.size());
    const auto line =
        1 + std::count(text.begin(), text.begin() + std::ptrdiff_t(end), '\n');
    reject(op, "expected JSON; got a malformed one in {}:{}", source, line);
  } catch (const nlohmann::json::out_of_range&) {
    reject(op, "expected numbers that fit 64 bits in {}", source);
  }
}

} // namespace tessera
