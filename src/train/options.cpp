#include "train/options.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tessera/error.h"

namespace tessera::train {

namespace {

std::string_view name_of(FineTuneType type) {
  return type == FineTuneType::lora ? "lora" : "full";
}

std::string_view name_of(OptimizerKind kind) {
  return kind == OptimizerKind::adamw ? "adamw" : "adam";
}

std::string_view name_of(Implementation implementation) {
  switch (implementation) {
    case Implementation::automatic:
      return "auto";
    case Implementation::tessera:
      return "on";
    case Implementation::mlx:
      return "off";
  }
  fail("options", "expected a known implementation");
}

std::string_view name_of(LearningRateSchedule::Kind kind) {
  using Kind = LearningRateSchedule::Kind;
  switch (kind) {
    case Kind::constant:
      return "constant";
    case Kind::linear:
      return "linear";
    case Kind::cosine:
      return "cosine";
  }
  fail("options", "expected a known schedule");
}

std::string_view name_of(LongDocuments how) {
  switch (how) {
    case LongDocuments::error:
      return "error";
    case LongDocuments::split:
      return "split";
    case LongDocuments::truncate:
      return "truncate";
  }
  fail("options", "expected a known treatment of long documents");
}

std::string text_of(const GradCheckpoint& checkpoint) {
  switch (checkpoint.kind) {
    case GradCheckpoint::Kind::off:
      return "off";
    case GradCheckpoint::Kind::automatic:
      return "auto";
    case GradCheckpoint::Kind::all:
      return "all";
    case GradCheckpoint::Kind::layers:
      return fmt::format("{}", checkpoint.layers);
  }
  fail("options", "expected a known kind of checkpointing");
}

template <typename T>
void at_least(std::string_view name, T value, T least) {
  if (!(value >= least) || !std::isfinite(double(value))) {
    reject("finetune", "expected {} at least {}; got {}", name, least, value);
  }
}

void check_fraction(std::string_view name, double value) {
  if (!(value >= 0 && value < 1)) {
    reject("finetune", "expected {} in [0, 1); got {}", name, value);
  }
}

void check_sources(const FinetuneOptions& options) {
  if (options.data.empty()) {
    reject("finetune", "expected a data folder (--data); got none");
  }
  if (options.adapter_path.empty()) {
    reject("finetune", "expected a run folder (--adapter-path); got none");
  }
  if (options.model.empty() == options.init.empty()) {
    reject(
        "finetune",
        "expected either --model or --init; got {}",
        options.model.empty() ? "neither" : "both");
  }
  if (!options.train && !options.test) {
    reject("finetune", "expected train or test; got neither");
  }
  if (!options.train && !options.init.empty()) {
    reject("finetune", "expected --model with --test alone; got --init");
  }
  if (options.resume && options.force) {
    reject("finetune", "expected --resume or --force; got both");
  }
  bool lora = options.fine_tune_type == FineTuneType::lora;
  if (!options.resume_adapter_file.empty() &&
      (!lora || !options.init.empty())) {
    reject("finetune", "expected lora with --resume-adapter-file; got full");
  }
}

} // namespace

std::string_view name_of(mx::Dtype dtype) {
  return dtype == mx::float32 ? "float32"
      : dtype == mx::float16  ? "float16"
      : dtype == mx::bfloat16 ? "bfloat16"
                              : "";
}

BatchShape batch_shape(const FinetuneOptions& options) {
  return {options.batch_size, options.pack ? options.max_seq_length : 0};
}

BatchShape update_shape(const FinetuneOptions& options) {
  BatchShape shape = batch_shape(options);
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  shape.rows = static_cast<int>(std::min(
      most, std::int64_t{shape.rows} * options.grad_accumulation_steps));
  return shape;
}

void check_options(const FinetuneOptions& options) {
  check_sources(options);
  at_least("iters", options.iters, 1);
  at_least("epochs", options.epochs.value_or(1), 1);
  at_least("batch_size", options.batch_size, 1);
  at_least("grad_accumulation_steps", options.grad_accumulation_steps, 1);
  if (options.grad_accumulation_steps > 65536) {
    reject(
        "finetune",
        "expected grad_accumulation_steps at most 65536; got {}",
        options.grad_accumulation_steps);
  }
  at_least("max_seq_length", options.max_seq_length, 2);
  at_least("grad_checkpoint", options.grad_checkpoint.layers, 0);
  at_least("max_memory", options.max_memory, std::int64_t{0});
  at_least("learning_rate", options.learning_rate, 0.0);
  at_least("lr_schedule.warmup", options.lr_schedule.warmup, 0);
  at_least("lr_schedule.final_rate", options.lr_schedule.final_rate, 0.0);
  check_fraction("beta1", options.beta1);
  check_fraction("beta2", options.beta2);
  at_least("epsilon", options.epsilon, 0.0);
  at_least("weight_decay", options.weight_decay, 0.0);
  at_least("max_grad_norm", options.max_grad_norm, 0.0);
  at_least("steps_per_report", options.steps_per_report, 1);
  at_least("steps_per_eval", options.steps_per_eval, 1);
  at_least("val_batches", options.val_batches, -1);
  at_least("test_batches", options.test_batches, -1);
  if (options.test && options.test_batches == 0) {
    reject(
        "finetune",
        "expected test_batches of 1 or more, or -1 for all, with --test; got "
        "0");
  }
  at_least("save_every", options.save_every, 0);
  at_least("keep_checkpoints", options.keep_checkpoints, 0);
  at_least("flash_block_size", options.flash_block_size, 0);
  if (options.dtype && name_of(*options.dtype).empty()) {
    reject("finetune", "expected dtype float32, float16 or bfloat16");
  }
}

nlohmann::json decisive(const FinetuneOptions& options) {
  nlohmann::json json = {
      {"fine_tune_type", name_of(options.fine_tune_type)},
      {"from_scratch", !options.init.empty()},
      {"flash_block_size", options.flash_block_size},
      {"batch_size", options.batch_size},
      {"grad_accumulation_steps", options.grad_accumulation_steps},
      {"max_seq_length", options.max_seq_length},
      {"long", name_of(options.long_documents)},
      {"pack", options.pack},
      {"mask_prompt", options.mask_prompt},
      {"seed", options.seed},
      {"optimizer", name_of(options.optimizer)},
      {"learning_rate", options.learning_rate},
      {"lr_schedule",
       {{"name", name_of(options.lr_schedule.kind)},
        {"warmup", options.lr_schedule.warmup},
        {"final_rate", options.lr_schedule.final_rate}}},
      {"beta1", options.beta1},
      {"beta2", options.beta2},
      {"epsilon", options.epsilon},
      {"weight_decay", options.weight_decay},
      {"max_grad_norm", options.max_grad_norm}};
  if (options.dtype) {
    json["dtype"] = name_of(*options.dtype);
  }
  if (options.lr_schedule.kind != LearningRateSchedule::Kind::constant) {
    json["iters"] = options.iters;
  }
  if (options.fine_tune_type == FineTuneType::lora) {
    json["lora_parameters"] = {
        {"rank", options.lora.rank},
        {"scale", options.lora.factor()},
        {"dropout", options.lora.dropout},
        {"keys", options.lora.keys}};
    json["num_layers"] = options.lora.num_layers;
  }
  return json;
}

nlohmann::json to_json(const FinetuneOptions& options) {
  nlohmann::json json = decisive(options);
  json.update(
      {{"model", options.model.string()},
       {"data", options.data.string()},
       {"adapter_path", options.adapter_path.string()},
       {"init", options.init.string()},
       {"tokenizer", options.tokenizer.string()},
       {"resume_adapter_file", options.resume_adapter_file.string()},
       {"allow_other_base", options.allow_other_base},
       {"use_flash_attention", name_of(options.use_flash_attention)},
       {"profile_attention", options.profile_attention},
       {"grad_checkpoint", text_of(options.grad_checkpoint)},
       {"max_memory", options.max_memory},
       {"log_tensorboard", options.log_tensorboard},
       {"test", options.test},
       {"iters", options.iters},
       {"steps_per_report", options.steps_per_report},
       {"steps_per_eval", options.steps_per_eval},
       {"val_batches", options.val_batches},
       {"test_batches", options.test_batches},
       {"save_every", options.save_every},
       {"keep_checkpoints", options.keep_checkpoints}});
  return json;
}

} // namespace tessera::train
