#include "train/run/tuning.h"

#include <utility>
#include <variant>

#include "api/tuning.h"
#include "tessera/error.h"
#include "train/options.h"
#include "train/run/folder.h"

namespace tessera::train {

Table tuning_of(const FinetuneOptions& options) {
  const auto before =
      options.resume ? recorded_run(options.adapter_path) : std::nullopt;
  if (!before || !before->contains("tuning")) {
    return table_in_use();
  }
  auto parsed = parse_table(before->at("tuning").dump());
  if (const auto* reason = std::get_if<std::string>(&parsed)) {
    reject(
        "finetune",
        "{} as tuning in {}; begin anew with --force",
        *reason,
        (options.adapter_path / "config.json").string());
  }
  return std::move(std::get<Table>(parsed));
}

nlohmann::json tuning_record(const ModelConfig& model, mx::Dtype dtype) {
  Table table = table_in_use();
  std::erase_if(table, [&](const Table::value_type& entry) {
    return entry.first.D != model.head_dim ||
        entry.first.dtype != name_of(dtype);
  });
  return nlohmann::json::parse(to_text(table));
}

} // namespace tessera::train
