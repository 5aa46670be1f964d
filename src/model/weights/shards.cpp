#include "model/weights/shards.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "model/file.h"
#include "model/safetensors.h"
#include "tessera/error.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

std::int64_t bytes_of(const mx::array& array) {
  return static_cast<std::int64_t>(array.nbytes());
}

// In the order of names, each as full as the limit allows.
std::vector<Parameters> split(
    const Parameters& parameters, std::int64_t limit) {
  std::vector<Parameters> shards(1);
  std::int64_t held = 0;
  for (const auto& [name, array] : parameters) {
    const auto bytes = bytes_of(array);
    if (!shards.back().empty() && bytes > limit - held) {
      shards.emplace_back();
      held = 0;
    }
    shards.back().emplace(name, array);
    held += bytes;
  }
  return shards;
}

} // namespace

void write_weights(
    const fs::path& folder, const Parameters& parameters, std::int64_t limit) {
  const auto shards = split(parameters, limit);
  if (shards.size() == 1) {
    write_safetensors(folder / "model.safetensors", parameters);
    return;
  }
  nlohmann::ordered_json index;
  std::int64_t total = 0;
  auto& map = index["weight_map"];
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const auto file =
        fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_safetensors(folder / file, shards[i]);
    for (const auto& [name, array] : shards[i]) {
      map[name] = file;
      total += bytes_of(array);
    }
  }
  index["metadata"] = {{"total_size", total}};
  write_file(folder / "model.safetensors.index.json", [&](std::ostream& out) {
    out << index.dump(2) << '\n';
  });
}

} // namespace tessera
