#include "cli/config_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tessera/error.h"

namespace tessera::cli {
namespace {

// Where a nested table's keys go: "lora_parameters.rank" -> --lora-rank.
const std::map<std::string, std::string> kTables = {
    {"lora_parameters", "lora-"},
    {"lr_schedule", "lr-"},
};

// Keys of mlx-lm for what there is no flag for. Its own example files have some
// of them, switched off.
const std::set<std::string> kUnsupported = {
    "clear_cache_threshold",
    "hf_dataset",
    "project_name",
    "report_to",
    "wandb",
};

bool is_off(const YAML::Node& node) {
  return node.IsNull() ||
      (node.IsScalar() && (node.Scalar() == "false" || node.Scalar() == "0"));
}

struct Reader {
  CLI::App& command;
  std::string file;
  std::set<const CLI::Option*> given = {};

  std::string place(const YAML::Node& node) const {
    return fmt::format("({}:{})", file, node.Mark().line + 1);
  }

  std::vector<std::string> values(
      const std::string& key, const YAML::Node& node) const {
    if (node.IsScalar()) {
      return {node.Scalar()};
    }
    std::vector<std::string> items;
    for (const auto& item : node) {
      if (!node.IsSequence() || !item.IsScalar()) {
        reject(
            "config",
            "expected a value or a list for {}; got a table {}",
            key,
            place(node));
      }
      items.push_back(item.Scalar());
    }
    return items;
  }

  void set(
      const std::string& key, const std::string& flag, const YAML::Node& node) {
    if (kUnsupported.contains(key) && is_off(node)) {
      return;
    }
    auto* option = command.get_option_no_throw("--" + flag);
    if (option == nullptr || !option->get_configurable()) {
      reject(
          "config",
          "expected a key that {} has a flag for; got {} {}",
          command.get_name(),
          key,
          place(node));
    }
    if (!given.insert(option).second) {
      reject(
          "config",
          "expected each option once; got {} again {}",
          key,
          place(node));
    }
    if (option->count() > 0 || node.IsNull()) {
      return;
    }
    const auto items = values(key, node);
    if (items.empty() || (items.size() > 1 && option->get_expected_max() < 2)) {
      reject(
          "config",
          "expected one value for {}; got a list of {} {}",
          key,
          items.size(),
          place(node));
    }
    try {
      option->add_result(items);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      reject(
          "config",
          "expected a value that fits {}; got {}: {} {}",
          key,
          node.IsScalar() ? node.Scalar() : "a list",
          error.what(),
          place(node));
    }
  }

  void read(const YAML::Node& root, const std::string& prefix) {
    for (const auto& entry : root) {
      const auto key = entry.first.as<std::string>();
      const auto table = kTables.find(key);
      if (prefix.empty() && table != kTables.end() && entry.second.IsMap()) {
        read(entry.second, table->second);
        continue;
      }
      std::string flag = prefix + key;
      std::replace(flag.begin(), flag.end(), '_', '-');
      set(key, flag, entry.second);
    }
  }
};

} // namespace

void apply_config_file(CLI::App& command, const std::filesystem::path& file) {
  try {
    const auto root = YAML::LoadFile(file.string());
    if (!root.IsMap() && !root.IsNull()) {
      reject(
          "config",
          "expected a table of options; got something else ({})",
          file.string());
    }
    Reader{command, file.string()}.read(root, "");
  } catch (const YAML::BadFile&) {
    reject("config", "expected a file that can be read; got {}", file.string());
  } catch (const YAML::Exception& error) {
    reject(
        "config",
        "expected YAML; got {} ({}:{})",
        error.msg,
        file.string(),
        error.mark.line + 1);
  }
}

} // namespace tessera::cli
