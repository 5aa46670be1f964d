#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// The fields of one object of config.json, which remembers what was asked for:
// `check_unread` refuses the rest, so that nothing that may change the maths is
// passed over. null counts as absent.
class ConfigFields {
 public:
  // `prefix` stands before a name in errors ("rope_parameters.").
  ConfigFields(
      const nlohmann::json& object,
      std::string_view source,
      std::string prefix = "");

  bool has(std::string_view name) const;
  // Stands there, be it as null.
  bool mentions(std::string_view name) const;
  // null where it is absent.
  const nlohmann::json& get(std::string_view name);

  std::optional<std::int64_t> integer(std::string_view name);
  std::optional<double> number(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> text(std::string_view name);

  // The same within [low, high]; `fallback` where absent, and an InputError
  // where there is none.
  int size(
      std::string_view name,
      std::int64_t high,
      std::optional<int> fallback = std::nullopt);
  float real(std::string_view name, double low, double high, double fallback);

  // Refuses every field that was neither read nor is harmless.
  void check_unread(std::span<const std::string_view> harmless);

  [[noreturn]] void refuse(std::string_view name, std::string_view expected);

 private:
  const nlohmann::json& object_;
  std::string source_;
  std::string prefix_;
  std::vector<std::string> read_;
};

} // namespace tessera
