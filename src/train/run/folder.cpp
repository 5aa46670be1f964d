#include "train/run/folder.h"

#include <algorithm>
#include <array>
#include <fstream>

#include "model/file.h"
#include "model/weights/shards.h"
#include "tessera/error.h"
#include "train/log/tensorboard.h"
#include "train/options.h"
#include "train/run/files.h"
#include "train/run/tuning.h"

namespace tessera::train {

namespace fs = std::filesystem;

namespace {

// All that a run writes. What tells that the folder is a run's comes last, so
// that a removal that breaks off can be gone on with.
constexpr std::array contents = {
    "metrics.jsonl",
    "report.html",
    "adapters.safetensors",
    "adapter_config.json",
    "checkpoints",
    "tensorboard",
    "model",
    "peft",
    "config.json"};

// config.json of a run names the version that wrote it, a model's does not.
bool holds_run(const fs::path& folder) {
  fs::path config = folder / "config.json";
  return fs::is_regular_file(config) && read_json(config).contains("tessera");
}

// Drops what a run wrote after its checkpoint, and the evaluation at it, which
// is done again.
void keep_metrics_until(const fs::path& file, int step) {
  if (!fs::exists(file)) {
    return;
  }
  std::ifstream in(file);
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    auto json = nlohmann::json::parse(line, nullptr, false);
    // A crash may have cut the last line short.
    if (json.is_object() && json.contains("step") &&
        json["step"].is_number_integer() &&
        json["step"] < step + int(json.contains("loss"))) {
      kept += line + "\n";
    }
  }
  write_file(file, [&](std::ostream& out) { out << kept; });
}

// The choice for the longest documents, and that of each layer; layers in a row
// that agree are one entry.
nlohmann::json attention_record(const RunPlan& plan) {
  auto layers = nlohmann::json::array();
  const auto& choices = plan.attention_of_layers;
  for (std::size_t first = 0; first < choices.size();) {
    std::size_t last = first;
    while (last + 1 < choices.size() && choices[last + 1] == choices[first]) {
      ++last;
    }
    layers.push_back(
        {{"first", first},
         {"last", last},
         {"name", choices[first].name},
         {"reason", choices[first].reason}});
    first = last + 1;
  }
  return {
      {"name", plan.attention.name},
      {"reason", plan.attention.reason},
      {"layers", layers}};
}

nlohmann::json description(const Run& run) {
  const ModelConfig& model = run.network.config;
  const RunPlan& plan = run.plan;
  return {
      {"tessera", TESSERA_VERSION},
      {"mlx", mx::version()},
      {"device", mx::default_device() == mx::Device::cpu ? "cpu" : "gpu"},
      {"attention", attention_record(plan)},
      {"peak_gflops",
       run.peak_flops ? nlohmann::json(*run.peak_flops / 1e9) : nullptr},
      {"model",
       {{"architecture", model_type(model.architecture)},
        {"hidden_size", model.hidden_size},
        {"num_hidden_layers", model.num_hidden_layers},
        {"num_attention_heads", model.num_attention_heads},
        {"num_key_value_heads", model.num_key_value_heads},
        {"head_dim", model.head_dim},
        {"intermediate_size", model.intermediate_size},
        {"vocab_size", model.vocab_size},
        {"parameters", plan.parameters},
        {"trainable_parameters", plan.trainable_parameters}}},
      {"dataset",
       {{"train_documents", plan.train_documents},
        {"valid_documents", plan.valid_documents},
        {"test_documents", plan.test_documents},
        {"train_tokens", plan.train_tokens},
        {"longest_document", plan.longest_document},
        {"epochs", plan.epochs}}},
      {"packing",
       plan.packing ? nlohmann::json{{"rows", plan.packing->rows},
                                     {"fill", plan.packing->fill},
                                     {"fewer_tokens", plan.packing->fewer_tokens}}
                    : nlohmann::json()},
      {"memory",
       {{"predicted_peak_bytes", plan.memory.predicted.peak()},
        {"available_bytes", plan.memory.available},
        {"recomputed_layers", plan.memory.recomputed_layers}}},
      {"notes", plan.notes},
      {"identity", run.identity},
      {"tuning", tuning_record(model, run.network.dtype)},
      {"options", to_json(run.options)}};
}

// config.json of the base, with the dtype that the weights are written in.
nlohmann::json model_config(const FinetuneOptions& options) {
  auto json = read_json(
      options.init.empty() ? options.model / "config.json" : options.init);
  json.erase("torch_dtype");
  json["dtype"] = name_of(*options.dtype);
  return json;
}

void copy_whole(const fs::path& from, const fs::path& to) {
  write_file(
      to, [&](std::ostream& out) { out << read_file(from, "finetune"); });
}

// What --force is about to remove must not be what the run reads.
void check_inputs_stay(const FinetuneOptions& options) {
  const auto folder = fs::weakly_canonical(options.adapter_path);
  for (const fs::path& input :
       {options.model,
        options.init,
        options.tokenizer,
        options.data,
        options.resume_adapter_file}) {
    const auto inside = fs::weakly_canonical(input).lexically_relative(folder);
    if (!input.empty() && !inside.empty() && *inside.begin() != "..") {
      reject(
          "finetune",
          "expected inputs outside the run folder that --force clears; got {}; "
          "choose another --adapter-path",
          input.string());
    }
  }
}

} // namespace

void copy_tokenizer(
    const fs::path& from, const fs::path& tokenizer, const fs::path& to) {
  for (const char* name :
       {"tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "generation_config.json",
        "vocab.json",
        "merges.txt",
        "tokenizer.model"}) {
    if (fs::is_regular_file(from / name)) {
      copy_whole(from / name, to / name);
    }
  }
  copy_whole(tokenizer, to / "tokenizer.json");
}

namespace {

void check_free(const FinetuneOptions& options) {
  const fs::path& folder = options.adapter_path;
  for (const char* name : contents) {
    if (!fs::exists(folder / name)) {
      continue;
    }
    if (!holds_run(folder)) {
      reject(
          "finetune",
          "expected a folder of its own for the run; got {}, which holds {} "
          "of something else; choose another --adapter-path",
          folder.string(),
          name);
    }
    if (!options.force && !options.resume) {
      reject(
          "finetune",
          "expected a new run folder; got {}, which holds another run; choose "
          "another --adapter-path, go on with --resume or replace it with "
          "--force",
          folder.string());
    }
  }
  if (options.force) {
    check_inputs_stay(options);
  }
}

} // namespace

FolderLock claim_folder(const FinetuneOptions& options) {
  check_free(options); // first: a folder of something else stays as it is
  try {
    make_writable_folder(options.adapter_path);
    FolderLock lock(options.adapter_path);
    check_free(options); // a run may have ended in between
    return lock;
  } catch (const WriteError& error) {
    throw InputError(fmt::format("{} with --adapter-path", error.what()));
  }
}

namespace {

// A file of its own for each process: the last record of one that was killed
// may be cut. It takes the place of the others from the step resumed from on,
// so what metrics.jsonl has of that step is said again.
void begin_log(Run& run) {
  const fs::path& folder = run.options.adapter_path;
  run.events = begin_events(folder / "tensorboard", run.state.updates);
  std::ifstream in(folder / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json["step"] == run.state.updates) {
      append_bytes(run.events, event_of(json, now()));
    }
  }
}

} // namespace

void begin_folder(Run& run) {
  const fs::path& folder = run.options.adapter_path;
  if (!run.options.resume) {
    for (const char* name : contents) {
      remove_tree(folder / name);
    }
  }
  for (const char* place : {"", "peft", "model"}) {
    remove_temporaries(folder / place);
  }
  // Before all else: it tells whose the folder is.
  write_json(folder / "config.json", description(run));
  if (run.options.resume) {
    std::for_each(run.damaged.begin(), run.damaged.end(), set_aside);
    // A run that has done all its steps saves no more, which would do this.
    prune_checkpoints(folder, run.options.keep_checkpoints);
    keep_metrics_until(folder / "metrics.jsonl", run.state.updates);
  }
  if (run.options.log_tensorboard) {
    begin_log(run);
  }
}

void add_metrics(const Run& run, const nlohmann::json& line) {
  append_bytes(run.options.adapter_path / "metrics.jsonl", line.dump() + "\n");
  if (!run.events.empty()) {
    append_bytes(run.events, event_of(line, now()));
  }
}

void sync_metrics(const Run& run) {
  const fs::path file = run.options.adapter_path / "metrics.jsonl";
  if (fs::exists(file)) {
    sync_to_disk(file);
  }
}

std::optional<nlohmann::json> recorded_run(const fs::path& folder) {
  if (!holds_run(folder)) {
    return std::nullopt;
  }
  return read_json(folder / "config.json");
}

fs::path write_output(const Run& run) {
  const FinetuneOptions& options = run.options;
  if (options.fine_tune_type == FineTuneType::lora) {
    const Adapter adapter{options.lora, run.state.parameters, run.base};
    const fs::path peft = options.adapter_path / "peft";
    make_writable_folder(peft);
    save_peft_adapter(peft, run.network.config, adapter);
    save_adapter(options.adapter_path, run.network.config, adapter);
    return options.adapter_path;
  }
  fs::path folder = options.adapter_path / "model";
  make_writable_folder(folder);
  Parameters weights;
  for (const auto& [name, array] : run.state.parameters) {
    weights.emplace(name, mx::astype(array, run.network.dtype));
  }
  copy_tokenizer(
      options.init.empty() ? options.model : options.init.parent_path(),
      options.tokenizer,
      folder);
  write_weights(folder, weights);
  write_json(folder / "config.json", model_config(options));
  return folder;
}

} // namespace tessera::train
