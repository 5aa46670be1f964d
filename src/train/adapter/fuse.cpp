#include "tessera/fuse.h"

#include "model/weights/shards.h"
#include "tessera/error.h"
#include "train/options.h"
#include "train/run/files.h"
#include "train/run/folder.h"

namespace tessera {

namespace fs = std::filesystem;

namespace {

void check_free(const fs::path& folder) {
  if (fs::exists(folder) &&
      !(fs::is_directory(folder) && fs::is_empty(folder))) {
    reject(
        "fuse",
        "expected a folder that is not there or empty; got {}; choose another "
        "--save-path",
        folder.string());
  }
}

// The dtype that config.json names.
mx::Dtype stored_dtype(const nlohmann::json& config) {
  const auto* key = config.contains("dtype") ? "dtype" : "torch_dtype";
  const auto name = config.value(key, nlohmann::json());
  if (name == "bfloat16") {
    return mx::bfloat16;
  }
  return name == "float16" ? mx::float16 : mx::float32;
}

void write(const FuseOptions& options, const fs::path& folder) {
  const auto file = options.model / "config.json";
  const auto config = read_config(file);
  auto json = train::read_json(file);
  const auto stored = stored_dtype(json);
  const auto dtype = options.dtype.value_or(stored);
  const auto adapter = load_adapter(options.adapter_path, config);
  if (!options.allow_other_base) {
    check_base(adapter.base, base_model(options.model), options.adapter_path);
  }
  auto weights =
      fuse_lora(load_parameters(options.model, config, stored), adapter);
  for (auto& [name, array] : weights) {
    array = mx::astype(array, dtype);
  }
  json.erase("torch_dtype");
  json["dtype"] = train::name_of(dtype);
  train::make_writable_folder(folder);
  train::copy_tokenizer(
      options.model, options.model / "tokenizer.json", folder);
  write_weights(folder, weights, options.max_shard_size);
  train::write_json(folder / "config.json", json);
}

} // namespace

Parameters fuse_lora(Parameters base, const Adapter& adapter) {
  constexpr std::string_view end = ".lora_a";
  const mx::array factor(adapter.config.factor());
  for (const auto& [name, a] : adapter.parameters) {
    if (!name.ends_with(end)) {
      continue;
    }
    const auto module = name.substr(0, name.size() - end.size());
    auto& W = base.at(module + ".weight");
    const auto& b = adapter.parameters.at(module + ".lora_b");
    const auto change = mx::transpose(mx::matmul(mx::multiply(a, factor), b));
    W = mx::astype(mx::add(mx::astype(W, mx::float32), change), W.dtype());
    W.eval(); // one at a time, so that never more than one stands there twice
  }
  return base;
}

void fuse(const FuseOptions& options) {
  auto folder = fs::absolute(options.save_path);
  if (!folder.has_filename()) {
    folder = folder.parent_path(); // "OUT/"
  }
  check_free(folder);
  auto unfinished = folder;
  unfinished += ".unfinished";
  check_free(unfinished);
  try {
    write(options, unfinished);
    train::publish_folder(unfinished, folder);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(unfinished, ignored);
    throw;
  }
}

} // namespace tessera
