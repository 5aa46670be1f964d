#include "model/weights/locate.h"

#include <set>

#include "model/file.h"
#include "model/json.h"
#include "tessera/error.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

constexpr auto op = "weights";

void locate(const fs::path& file, TensorLocations& locations) {
  for (auto& [name, info] : read_safetensors_header(file)) {
    const auto [at, is_new] =
        locations.try_emplace(name, LocatedTensor{file, info});
    if (!is_new) {
      reject(
          op,
          "expected tensor {} once; got it in {} and {}",
          name,
          at->second.file.string(),
          file.string());
    }
  }
}

// A shard's name comes from a file: it must not lead out of the folder.
fs::path shard_path(
    const fs::path& index,
    const std::string& tensor,
    const nlohmann::json& name) {
  const auto path = name.is_string() ? fs::path(name) : fs::path();
  if (path.empty() || path != path.filename()) {
    reject(
        op,
        "expected a file name for {} in {}; got {}",
        tensor,
        index.string(),
        name.dump());
  }
  return index.parent_path() / path;
}

TensorLocations locate_shards(const fs::path& index) {
  const auto json = parse_object(read_file(index, op), index.string(), op);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    reject(op, "expected a weight_map in {}; got none", index.string());
  }
  std::map<std::string, fs::path> promised;
  std::set<fs::path> files;
  for (const auto& [tensor, name] : map->items()) {
    promised[tensor] = shard_path(index, tensor, name);
    files.insert(promised[tensor]);
  }
  TensorLocations locations;
  for (const auto& file : files) {
    locate(file, locations);
  }
  for (const auto& [tensor, file] : promised) {
    const auto found = locations.find(tensor);
    if (found == locations.end() || found->second.file != file) {
      reject(
          op,
          "expected tensor {} in {} as {} says; got none",
          tensor,
          file.string(),
          index.string());
    }
  }
  return locations;
}

} // namespace

TensorLocations locate_tensors(const fs::path& folder) {
  const auto single = folder / "model.safetensors";
  const auto index = folder / "model.safetensors.index.json";
  if (fs::exists(single)) {
    TensorLocations locations;
    locate(single, locations);
    return locations;
  }
  if (fs::exists(index)) {
    return locate_shards(index);
  }
  reject(
      op,
      "expected model.safetensors or model.safetensors.index.json in {}; got "
      "none",
      folder.string());
}

} // namespace tessera
