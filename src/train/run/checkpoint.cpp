#include "train/run/checkpoint.h"

#include <algorithm>

#include "model/safetensors.h"
#include "tessera/error.h"
#include "train/run/digest.h"
#include "train/run/files.h"

namespace tessera::train {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view unfinished = ".unfinished";
constexpr std::string_view damaged = ".damaged";

fs::path with(fs::path path, std::string_view suffix) {
  return path += suffix;
}

fs::path folder_of(const fs::path& run_folder, int step) {
  return run_folder / "checkpoints" / fmt::format("step-{:07}", step);
}

// A folder that has its name is whole, so it loses the name first.
void discard(const fs::path& folder) {
  if (fs::exists(folder)) {
    remove_tree(with(folder, unfinished));
    publish_folder(folder, with(folder, unfinished));
    remove_tree(with(folder, unfinished));
  }
}

nlohmann::json digests_of(const fs::path& folder) {
  nlohmann::json digests;
  for (const auto& entry : fs::directory_iterator(folder)) {
    digests[entry.path().filename().string()] = digest_of(entry.path());
  }
  return digests;
}

// Of everything in state.json but the digest itself.
std::string seal_of(nlohmann::json state) {
  state.erase("digest");
  Digest digest;
  digest.add(text_of(state));
  return digest.text();
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

// "/options/lr_schedule/name" -> "lr_schedule.name": what a user may look for
// in config.json.
std::string name_of(std::string path) {
  const std::string options = "/options/";
  path.erase(0, path.starts_with(options) ? options.size() : 1);
  std::ranges::replace(path, '/', '.');
  return path;
}

} // namespace

// Flat, so that a difference has a name.
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
            name_of(path),
            text(before),
            folder.string(),
            text(after));
      }
    }
  }
}

namespace {

void write_checkpoint(
    const fs::path& folder,
    const Checkpoint& checkpoint,
    const CheckpointKind& kind) {
  const Trained& state = checkpoint.state;
  if (kind.lora) {
    save_adapter(folder, kind.model, {*kind.lora, state.parameters, kind.base});
  } else {
    write_safetensors(folder / "model.safetensors", state.parameters);
  }
  Parameters moments;
  for (const auto& [name, m] : state.m) {
    moments.emplace("m." + name, m);
    moments.emplace("v." + name, state.v.at(name));
  }
  write_safetensors(folder / "optimizer.safetensors", moments);
  nlohmann::json json = {
      {"step", state.updates},
      {"identity", checkpoint.identity},
      {"interval", checkpoint.interval},
      {"files", digests_of(folder)}};
  json["digest"] = seal_of(json);
  write_json(folder / "state.json", json);
}

} // namespace

fs::path save_checkpoint(
    const fs::path& run_folder,
    const Checkpoint& checkpoint,
    const CheckpointKind& kind) {
  const fs::path folder = folder_of(run_folder, checkpoint.state.updates);
  const fs::path temporary = with(folder, unfinished);
  remove_tree(temporary);
  make_writable_folder(temporary);
  try {
    write_checkpoint(temporary, checkpoint, kind);
  } catch (...) {
    std::error_code ignored; // a full disk needs the room
    fs::remove_all(temporary, ignored);
    throw;
  }
  discard(folder); // the same step saved before has the same bits
  publish_folder(temporary, folder);
  return folder;
}

std::vector<fs::path> checkpoints(const fs::path& run_folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(run_folder / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    const std::string_view digits =
        std::string_view(name).substr(std::min(name.size(), std::size_t{5}));
    if (name.starts_with("step-") && !digits.empty() &&
        digits.find_first_not_of("0123456789") == digits.npos) {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string damage_of(const fs::path& folder) {
  nlohmann::json state;
  try {
    state = read_json(folder / "state.json");
    if (state.at("digest") != seal_of(state)) {
      return "state.json is not as it was saved";
    }
    for (const auto& [name, digest] : state.at("files").items()) {
      if (!fs::is_regular_file(folder / name)) {
        return name + " is missing";
      }
      if (digest != digest_of(folder / name)) {
        return name + " is not as it was saved";
      }
    }
  } catch (const InputError&) {
    return "state.json is missing or cut short";
  } catch (const nlohmann::json::exception&) {
    return "state.json is not as it was saved";
  }
  return "";
}

fs::path set_aside(const fs::path& folder) {
  const fs::path aside = with(folder, damaged);
  remove_tree(aside);
  publish_folder(folder, aside);
  return aside;
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
        "expected step, identity and interval in {}; begin anew with --force",
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
  std::vector<fs::path> left_over;
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(run_folder / "checkpoints", error)) {
    if (entry.path().filename().string().ends_with(unfinished)) {
      left_over.push_back(entry.path());
    }
  }
  std::for_each(left_over.begin(), left_over.end(), remove_tree);
  auto found = checkpoints(run_folder);
  if (keep > 0 && found.size() > static_cast<std::size_t>(keep)) {
    found.resize(found.size() - static_cast<std::size_t>(keep));
    std::for_each(found.begin(), found.end(), discard);
  }
}

} // namespace tessera::train
