#include "model/config/fields.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera {

namespace {

const nlohmann::json null_value;

// As it stands in JSON, which has no raw line ends, in ASCII. What is long (a
// table of quantized modules, say) is told by its beginning.
std::string one_line(const nlohmann::json& value) {
  auto text =
      value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) {
    text.replace(60, text.npos, "...");
  }
  return text;
}

std::string escaped(const std::string& name) {
  const auto quoted = one_line(name);
  return quoted.ends_with('"') ? quoted.substr(1, quoted.size() - 2)
                               : quoted.substr(1);
}

} // namespace

ConfigFields::ConfigFields(
    const nlohmann::json& object, std::string_view source, std::string prefix)
    : object_(object), source_(source), prefix_(std::move(prefix)) {}

bool ConfigFields::has(std::string_view name) const {
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

bool ConfigFields::mentions(std::string_view name) const {
  return object_.contains(name);
}

const nlohmann::json& ConfigFields::get(std::string_view name) {
  read_.emplace_back(name);
  return has(name) ? *object_.find(name) : null_value;
}

std::optional<std::int64_t> ConfigFields::integer(std::string_view name) {
  const auto& value = get(name);
  if (value.is_null()) {
    return std::nullopt;
  }
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() &&
       value.get<std::uint64_t>() > std::uint64_t(INT64_MAX))) {
    refuse(name, "an integer");
  }
  return value.get<std::int64_t>();
}

std::optional<double> ConfigFields::number(std::string_view name) {
  const auto& value = get(name);
  if (value.is_null()) {
    return std::nullopt;
  }
  if (!value.is_number()) {
    refuse(name, "a number");
  }
  return value.get<double>();
}

std::optional<bool> ConfigFields::boolean(std::string_view name) {
  const auto& value = get(name);
  if (value.is_null()) {
    return std::nullopt;
  }
  if (!value.is_boolean()) {
    refuse(name, "true or false");
  }
  return value.get<bool>();
}

std::optional<std::string> ConfigFields::text(std::string_view name) {
  const auto& value = get(name);
  if (value.is_null()) {
    return std::nullopt;
  }
  if (!value.is_string()) {
    refuse(name, "a string");
  }
  return value.get<std::string>();
}

int ConfigFields::size(
    std::string_view name, std::int64_t high, std::optional<int> fallback) {
  const auto value = integer(name);
  if (!value && fallback) {
    return *fallback;
  }
  if (!value || *value < 1 || *value > high) {
    refuse(name, fmt::format("an integer in 1 .. {}", high));
  }
  return int(*value);
}

float ConfigFields::real(
    std::string_view name, double low, double high, double fallback) {
  const double value = number(name).value_or(fallback);
  if (!(value >= low && value <= high)) {
    refuse(name, fmt::format("a number in {} .. {}", low, high));
  }
  return float(value);
}

void ConfigFields::check_unread(std::span<const std::string_view> harmless) {
  for (const auto& [name, value] : object_.items()) {
    const bool known = std::ranges::find(read_, name) != read_.end() ||
        std::ranges::find(harmless, name) != harmless.end();
    if (!known && !value.is_null()) {
      reject(
          "config",
          "expected only fields that are supported in {}; got {} = {}",
          source_,
          prefix_ + escaped(name),
          one_line(value));
    }
  }
}

void ConfigFields::refuse(std::string_view name, std::string_view expected) {
  reject(
      "config",
      "expected {}{} to be {} in {}; got {}",
      prefix_,
      name,
      expected,
      source_,
      has(name) ? one_line(get(name)) : "none");
}

} // namespace tessera
