#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/weights/locate.h"
#include "tessera/error.h"
#include "tessera/lora.h"
#include "train/run/digest.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

// Of each tensor so many pieces of so many bytes, evenly over it: 4 KiB tell
// models apart, and even a large one takes no more than a second to look at.
constexpr std::uint64_t pieces = 16;
constexpr std::uint64_t piece_bytes = 256;

// The part of a config that changes the maths; eos and the like are often
// edited in place.
std::string maths_of(ModelConfig config) {
  const ModelConfig fresh;
  config.max_position_embeddings = fresh.max_position_embeddings;
  config.initializer_range = fresh.initializer_range;
  config.bos_token_id = fresh.bos_token_id;
  config.eos_token_ids = fresh.eos_token_ids;
  return config_json(config, mx::float32);
}

void add_piece(
    train::Digest& digest,
    std::ifstream& file,
    std::uint64_t at,
    std::uint64_t size) {
  std::string bytes(size, 0);
  file.seekg(static_cast<std::streamoff>(at));
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  digest.add(bytes);
}

void add_tensor(train::Digest& digest, const LocatedTensor& tensor) {
  const auto& [path, info] = tensor;
  digest.add(info.dtype);
  digest.add(fmt::format("{}", fmt::join(info.shape, ",")));
  std::ifstream file(path, std::ios::binary);
  std::uint64_t header = 0;
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  const auto begin = sizeof header + header + info.begin;
  const auto size = info.end - info.begin;
  if (size <= pieces * piece_bytes) {
    add_piece(digest, file, begin, size);
  } else {
    const auto stride = (size - piece_bytes) / (pieces - 1);
    for (std::uint64_t i = 0; i < pieces; ++i) {
      add_piece(digest, file, begin + i * stride, piece_bytes);
    }
  }
  if (!file) {
    reject("lora", "expected a readable file; got {}", path.string());
  }
}

std::string quoted(const std::string& text) {
  using Handler = nlohmann::json::error_handler_t;
  return nlohmann::json(text).dump(-1, ' ', true, Handler::replace);
}

} // namespace

BaseModel base_model(const fs::path& folder) {
  const auto config = read_config(folder / "config.json");
  const auto locations = locate_tensors(folder);
  train::Digest digest;
  digest.add(maths_of(config));
  // The names that a config asks for: some files hold a tied head, or tables of
  // rotary positions, beside them.
  for (const auto& [name, shape] : parameter_shapes(config)) {
    digest.add(name);
    if (const auto found = locations.find(name); found != locations.end()) {
      add_tensor(digest, found->second);
    }
  }
  return {folder.string(), digest.text()};
}

void check_base(
    const BaseModel& trained_on, const BaseModel& given, const fs::path& from) {
  if (!trained_on.fingerprint.empty() &&
      trained_on.fingerprint != given.fingerprint) {
    reject(
        "lora",
        "expected the model that {} was trained on, {} (fingerprint {}); got "
        "{} (fingerprint {}); give that one as --model, or "
        "--allow-other-base",
        from.string(),
        quoted(trained_on.name),
        quoted(trained_on.fingerprint.substr(0, 8)),
        quoted(given.name),
        quoted(given.fingerprint.substr(0, 8)));
  }
}

} // namespace tessera
