#include "train/setup.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/error.h"
#include "tessera/profile.h"
#include "train/data.h"
#include "train/memory/machine.h"
#include "train/memory/plan.h"
#include "train/memory/shape.h"
#include "train/options.h"
#include "train/order.h"
#include "train/run/digest.h"
#include "train/run/folder.h"

namespace tessera::train {

namespace fs = std::filesystem;

namespace {

std::string fingerprint(const Dataset& data) {
  Digest print;
  for (const Document& document : data.documents) {
    print.add(document.tokens.size());
    for (const auto& [begin, end] : document.context) {
      print.add(static_cast<std::uint64_t>(begin));
      print.add(static_cast<std::uint64_t>(end));
    }
    for (std::int32_t id : document.tokens) {
      print.add(static_cast<std::uint64_t>(id));
    }
  }
  return print.text();
}

std::string fingerprint(const Parameters& parameters) {
  Digest print;
  for (const auto& [name, array] : parameters) {
    print.add(name);
    mx::array row_major = mx::contiguous(array);
    row_major.eval();
    print.add(std::string_view(row_major.data<char>(), row_major.nbytes()));
  }
  return print.text();
}

fs::path source_folder(const FinetuneOptions& options) {
  return options.init.empty() ? options.model : options.init.parent_path();
}

bool is_lora(const FinetuneOptions& options) {
  return options.fine_tune_type == FineTuneType::lora;
}

Adapter checked(const Run& run, const fs::path& from, Adapter adapter) {
  if (!run.options.allow_other_base) {
    check_base(adapter.base, run.base, from);
  }
  return adapter;
}

// The adapter that a run tests, goes on from, or begins with.
Adapter read_adapter(const Run& run) {
  const FinetuneOptions& options = run.options;
  const ModelConfig& config = run.network.config;
  if (!options.train) {
    const auto& from = options.adapter_path;
    return checked(run, from, load_adapter(from, config));
  }
  if (const auto& from = options.resume_adapter_file; !from.empty()) {
    return checked(run, from, start_from_adapter(from, config, options.lora));
  }
  return {options.lora, init_lora(config, options.lora, options.seed)};
}

// Weights as a fresh run begins with them.
void read_weights(Run& run) {
  const FinetuneOptions& options = run.options;
  const ModelConfig& config = run.network.config;
  if (!options.init.empty()) {
    run.state =
        begin_training(init_parameters(config, mx::float32, options.seed));
  } else if (!is_lora(options)) {
    run.state =
        begin_training(load_parameters(options.model, config, mx::float32));
  } else {
    run.network.frozen = load_parameters(options.model, config, *options.dtype);
    run.base = base_model(options.model);
    const Adapter adapter = read_adapter(run);
    run.options.lora = adapter.config;
    run.state = begin_training(adapter.parameters);
  }
  run.network.forward.lora_scale = run.options.lora.factor();
  run.network.forward.lora_dropout =
      static_cast<float>(run.options.lora.dropout);
}

std::int64_t longest(const Dataset& data) {
  std::size_t tokens = 0;
  for (const Document& document : data.documents) {
    tokens = std::max(tokens, document.tokens.size());
  }
  return static_cast<std::int64_t>(tokens);
}

Choice attention_of(const Run& run, int layer, std::int64_t tokens) {
  const ModelConfig& config = run.network.config;
  int length = static_cast<int>(std::max<std::int64_t>(1, tokens - 1));
  auto operand = [&](int heads) {
    return mx::zeros(
        {run.options.batch_size, heads, length, config.head_dim},
        run.network.dtype);
  };
  AttentionOptions attention = run.network.forward.attention;
  attention.causal = true;
  attention.window = config.window(layer, length);
  if (run.options.pack) {
    const auto ids = mx::zeros({run.options.batch_size, length}, mx::int32);
    attention.segments = Segments{ids, ids};
  }
  mx::array K = operand(config.num_key_value_heads);
  return explain_attention(
      operand(config.num_attention_heads), K, K, attention);
}

PackingReport packing_of(const Run& run, const EpochSize& packed) {
  const FinetuneOptions& options = run.options;
  BatchShape padded = batch_shape(options);
  padded.packed_columns = 0;
  const EpochSize apart = BatchOrder(run.train, padded, options.seed).size();
  PackingReport report;
  report.rows = static_cast<std::size_t>(packed.rows);
  report.fill = static_cast<double>(packed.tokens) /
      (static_cast<double>(packed.rows) * options.max_seq_length);
  report.fewer_tokens =
      static_cast<double>(apart.cells) / static_cast<double>(packed.cells);
  return report;
}

std::int64_t size_of(const Parameters& parameters) {
  std::int64_t size = 0;
  for (const auto& [name, array] : parameters) {
    size += static_cast<std::int64_t>(array.size());
  }
  return size;
}

void plan_run(Run& run) {
  RunPlan& plan = run.plan;
  FinetuneOptions& options = run.options;
  plan.model = run.network.config;
  plan.trainable_parameters = size_of(run.state.parameters);
  plan.parameters = size_of(run.network.frozen) + plan.trainable_parameters;
  plan.train_documents = run.train.documents.size();
  plan.valid_documents = run.valid.documents.size();
  plan.test_documents = run.test.documents.size();
  for (const Document& document : run.train.documents) {
    plan.train_tokens += static_cast<std::int64_t>(document.tokens.size());
  }
  const Dataset& main = options.train ? run.train : run.test;
  plan.longest_document = longest(main);
  const std::int64_t tokens =
      options.pack ? options.max_seq_length : plan.longest_document;
  for (int layer = 0; layer < plan.model.num_hidden_layers; ++layer) {
    plan.attention_of_layers.push_back(attention_of(run, layer, tokens));
  }
  plan.attention = plan.attention_of_layers.back();
  if (options.profile_attention) {
    run.peak_flops = attention_peak_flops(run.network.dtype);
  }
  plan.dtype = name_of(run.network.dtype);
  if (options.train) {
    const auto order_of = [&](const BatchShape& shape) {
      return BatchOrder(run.train, shape, options.seed);
    };
    if (options.pack) {
      plan.packing = packing_of(run, order_of(batch_shape(options)).size());
    }
    const auto updates_per_epoch = static_cast<double>(
        order_of(update_shape(options)).batches_per_epoch());
    if (options.epochs) {
      const double updates = std::ceil(*options.epochs * updates_per_epoch);
      if (updates > std::numeric_limits<int>::max()) {
        reject(
            "finetune",
            "expected epochs of at most 2147483647 updates in all; got {:.0f}; "
            "lower --epochs",
            updates);
      }
      options.iters = static_cast<int>(updates);
    }
    plan.steps = options.iters;
    plan.epochs = plan.steps / updates_per_epoch;
  }
}

// A run that was stopped before its first checkpoint begins again: whoever
// starts it always with --resume, after whatever end, gets all of it.
void begin_again(Run& run) {
  const fs::path& folder = run.options.adapter_path;
  if (!run.damaged.empty()) {
    std::vector<std::string> all;
    for (const fs::path& checkpoint : run.damaged) {
      all.push_back(fmt::format(
          "{} ({})", checkpoint.filename().string(), damage_of(checkpoint)));
    }
    reject(
        "finetune",
        "expected a whole checkpoint in {} to resume from; got only damaged "
        "ones: {}; begin anew with --force",
        (folder / "checkpoints").string(),
        fmt::join(all, ", "));
  }
  if (auto before = recorded_run(folder)) {
    check_identity(
        before->value("identity", nlohmann::json::object()),
        run.identity,
        folder);
  }
  run.plan.notes.push_back(fmt::format(
      "no checkpoint in {} yet: begins at step 0", folder.string()));
}

// The newest checkpoint without damage; empty where there is none.
fs::path find_whole(Run& run) {
  auto found = checkpoints(run.options.adapter_path);
  for (; !found.empty(); found.pop_back()) {
    std::string damage = damage_of(found.back());
    if (damage.empty()) {
      return found.back();
    }
    run.damaged.push_back(found.back());
    run.plan.notes.push_back(fmt::format(
        "checkpoint {} is damaged: {}; goes on from the one before, and keeps "
        "this one as {}.damaged",
        found.back().string(),
        damage,
        found.back().filename().string()));
  }
  return {};
}

void resume(Run& run) {
  const fs::path folder = find_whole(run);
  if (folder.empty()) {
    begin_again(run);
    return;
  }
  Checkpoint checkpoint = load_checkpoint(folder, run.identity, kind_of(run));
  run.state = std::move(checkpoint.state);
  run.interval = std::move(checkpoint.interval);
  run.plan.first_step = run.state.updates;
  if (run.state.updates > run.options.iters) {
    reject(
        "finetune",
        "expected iters of at least {}, which {} has done; got {}",
        run.state.updates,
        folder.string(),
        run.options.iters);
  }
}

} // namespace

CheckpointKind kind_of(const Run& run) {
  return {
      run.network.config,
      is_lora(run.options) ? std::optional(run.options.lora) : std::nullopt,
      run.base};
}

namespace {

// Options decided, config and data read; no weights yet.
Run read_run(const FinetuneOptions& options) {
  check_options(options);
  Run run;
  run.options = options;
  if (!options.init.empty()) {
    run.options.fine_tune_type = FineTuneType::full;
  }
  if (!options.dtype) {
    run.options.dtype =
        mx::default_device() == mx::Device::cpu ? mx::float32 : mx::bfloat16;
  }
  if (options.tokenizer.empty()) {
    run.options.tokenizer = source_folder(options) / "tokenizer.json";
  }
  run.network.dtype = *run.options.dtype;
  run.network.forward.attention.implementation = options.use_flash_attention;
  run.network.forward.attention.block_size = options.flash_block_size;
  run.network.config = read_config(
      options.init.empty() ? options.model / "config.json" : options.init);
  read_data(run);
  return run;
}

std::int64_t memory_of(const FinetuneOptions& options) {
  return options.max_memory > 0 ? options.max_memory : available_memory();
}

void plan_memory_of(Run& run) {
  const FinetuneOptions& options = run.options;
  const MemoryShape shape = memory_shape(run);
  run.plan.memory =
      decide_memory(shape, options.grad_checkpoint, memory_of(options));
  check_memory(shape, run.plan.memory);
  run.network.forward.recomputed_layers = run.plan.memory.recomputed_layers;
}

} // namespace

Run prepare(const FinetuneOptions& options) {
  Run run = read_run(options);
  if (options.train) {
    plan_memory_of(run);
  }
  read_weights(run);
  plan_run(run);
  if (options.train) {
    run.identity = {
        {"options", decisive(run.options)},
        {"attention", run.plan.attention.name},
        {"train_data", fingerprint(run.train)},
        {"valid_data", fingerprint(run.valid)},
        {"weights", fingerprint(run.network.frozen)}};
    if (options.resume) {
      resume(run);
    }
  }
  return run;
}

} // namespace tessera::train

namespace tessera {

MemoryPlan plan_memory(const FinetuneOptions& options) {
  const train::Run run = train::read_run(options);
  return train::decide_memory(
      train::memory_shape(run),
      options.grad_checkpoint,
      train::memory_of(options));
}

} // namespace tessera
