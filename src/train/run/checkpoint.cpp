#include "train/run/checkpoint.h"

#include <algorithm>

#include "model/safetensors.h"
#include "tessera/error.h"
#include "train/run/files.h"

namespace tessera::train {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view unfinished = ".unfinished";

fs::path folder_of(const fs::path& run_folder, int step) {
  return run_folder / "checkpoints" / fmt::format("step-{:07}", step);
}

// Whole checkpoints, oldest first.
std::vector<fs::path> checkpoints(const fs::path& run_folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(run_folder / "checkpoints", error)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && !name.ends_with(unfinished) &&
        fs::is_regular_file(entry.path() / "state.json")) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// "/options/learning_rate" -> value, so that a difference has a name.
void check_identity(
    const nlohmann::json& saved,
    const nlohmann::json& now,
    const fs::path& folder) {
  auto before = saved.flatten();
  auto after = now.flatten();
  for (const auto* json : {&before, &after}) {
    for (const auto& [path, value] : json->items()) {
      auto text = [&](const nlohmann::json& side) {
        return side.contains(path) ? side.at(path).dump() : "none";
      };
      if (text(before) != text(after)) {
        reject(
            "finetune",
            "expected {} {} as in {}; got {}; give the same to resume, or "
            "begin anew with --force",
            path.substr(path.rfind('/') + 1),
            text(before),
            folder.string(),
            text(after));
      }
    }
  }
}

Parameters read_weights(const fs::path& folder, const CheckpointKind& kind) {
  if (kind.lora) {
    return read_lora(folder / "adapters.safetensors", kind.model, *kind.lora);
  }
  return load_parameters(folder, kind.model, mx::float32);
}

Parameters read_moment(
    Parameters& arrays, char letter, const Parameters& parameters) {
  Parameters moment;
  for (const auto& [name, parameter] : parameters) {
    auto found = arrays.find(fmt::format("{}.{}", letter, name));
    if (found == arrays.end() || found->second.shape() != parameter.shape()) {
      reject(
          "finetune",
          "expected {}.{} of shape [{}] in optimizer.safetensors; it is "
          "missing or of another shape",
          letter,
          name,
          fmt::join(parameter.shape(), ", "));
    }
    found->second.eval();
    moment.emplace(name, found->second);
  }
  return moment;
}

} // namespace

fs::path save_checkpoint(
    const fs::path& run_folder,
    const Checkpoint& checkpoint,
    const CheckpointKind& kind) {
  const Trained& state = checkpoint.state;
  fs::path folder = folder_of(run_folder, state.updates);
  fs::path temporary = folder;
  temporary += unfinished;
  fs::remove_all(temporary);
  make_writable_folder(temporary);
  if (kind.lora) {
    save_adapter(temporary, kind.model, {*kind.lora, state.parameters});
  } else {
    write_safetensors(temporary / "model.safetensors", state.parameters);
  }
  Parameters moments;
  for (const auto& [name, m] : state.m) {
    moments.emplace("m." + name, m);
    moments.emplace("v." + name, state.v.at(name));
  }
  write_safetensors(temporary / "optimizer.safetensors", moments);
  write_json(
      temporary / "state.json",
      {{"step", state.updates},
       {"identity", checkpoint.identity},
       {"interval", checkpoint.interval}});
  // The same step saved before has the same bits.
  fs::remove_all(folder);
  publish_folder(temporary, folder);
  return folder;
}

std::optional<fs::path> newest_checkpoint(const fs::path& run_folder) {
  auto found = checkpoints(run_folder);
  return found.empty() ? std::nullopt : std::optional(found.back());
}

Checkpoint load_checkpoint(
    const fs::path& folder,
    const nlohmann::json& identity,
    const CheckpointKind& kind) {
  auto json = read_json(folder / "state.json");
  Checkpoint checkpoint;
  try {
    checkpoint.state.updates = json.at("step").get<int>();
    checkpoint.identity = json.at("identity");
    checkpoint.interval = json.at("interval");
  } catch (const nlohmann::json::exception&) {
    reject(
        "finetune",
        "expected step, identity and interval in {}; remove that checkpoint "
        "to resume from the one before",
        (folder / "state.json").string());
  }
  check_identity(checkpoint.identity, identity, folder);
  checkpoint.state.parameters = read_weights(folder, kind);
  auto moments = read_safetensors(folder / "optimizer.safetensors");
  auto& state = checkpoint.state;
  state.m = read_moment(moments, 'm', state.parameters);
  state.v = read_moment(moments, 'v', state.parameters);
  return checkpoint;
}

void prune_checkpoints(const fs::path& run_folder, int keep) {
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(run_folder / "checkpoints", error)) {
    if (entry.path().filename().string().ends_with(unfinished)) {
      fs::remove_all(entry.path());
    }
  }
  auto found = checkpoints(run_folder);
  if (keep > 0 && found.size() > static_cast<std::size_t>(keep)) {
    found.resize(found.size() - static_cast<std::size_t>(keep));
    for (const fs::path& folder : found) {
      fs::remove_all(folder);
    }
  }
}

} // namespace tessera::train
