#include "cli/finetune_flags.h"
#include "cli/attention_flags.h"

#include <memory>

#include "cli/config_file.h"
#include "cli/flags.h"

namespace tessera::cli {
namespace {

void add_model_options(
    CLI::App& command, FinetuneOptions& o, TableFlag& table) {
  command.option_defaults()->group("Model");
  command.add_option(
      "--model",
      o.model,
      "Hugging Face folder: config.json, *.safetensors, "
      "tokenizer.json");
  command.add_option(
      "--init",
      o.init,
      "Train from scratch, with the shape of this config.json");
  command.add_option(
      "--tokenizer",
      o.tokenizer,
      "A tokenizer.json; default: beside the model or config");
  add_choice<FineTuneType>(
      command,
      "--fine-tune-type",
      o.fine_tune_type,
      {{"lora", FineTuneType::lora}, {"full", FineTuneType::full}},
      "What is trained: a LoRA adapter, or every parameter");
  command
      .add_option(
          "--num-layers,--lora-layers",
          o.lora.num_layers,
          "Adapt the last so many layers; -1 for all")
      ->capture_default_str();
  command.add_option(
      "--resume-adapter-file",
      o.resume_adapter_file,
      "Start from this adapter, a file or folder, mlx-lm's or PEFT's");
  add_base_flag(command, o.allow_other_base);
  add_dtype_flag(command, o.dtype);
  add_attention_flags(command, o.use_flash_attention, o.flash_block_size);
  add_table_flag(command, table);
  command.add_flag(
      "--profile-attention",
      o.profile_attention,
      "Record what attention takes of each step, and how fast it is");
}

void add_lora_options(CLI::App& command, LoraConfig& lora) {
  command.option_defaults()->group("LoRA");
  command.add_option("--lora-rank", lora.rank, "Rank of A and B")
      ->capture_default_str();
  command
      .add_option("--lora-alpha", lora.alpha, "x A B is scaled by alpha / rank")
      ->capture_default_str();
  command.add_option(
      "--lora-scale",
      lora.scale,
      "The factor itself, in place of alpha / rank");
  command.add_option("--lora-dropout", lora.dropout, "On the way into A")
      ->capture_default_str();
  command
      .add_option("--lora-keys", lora.keys, "Modules to adapt, or all-linear")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->capture_default_str();
}

void add_data_options(CLI::App& command, FinetuneOptions& o) {
  command.option_defaults()->group("Data and run folder");
  command.add_option(
      "--data", o.data, "Folder with train, valid and test as .jsonl or .txt");
  command
      .add_option(
          "--adapter-path",
          o.adapter_path,
          "The run folder: adapter, checkpoints, metrics, report")
      ->capture_default_str();
  command.add_flag(
      "--train,!--no-train",
      o.train,
      "Train (the default); --no-train --test only tests");
  command.add_flag("--test", o.test, "Evaluate on the test split at the end");
  command.add_flag(
      "--mask-prompt", o.mask_prompt, "Leave prompts out of the loss");
  command
      .add_option(
          "--max-seq-length",
          o.max_seq_length,
          "Most tokens a document may have")
      ->capture_default_str();
  add_choice<LongDocuments>(
      command,
      "--long",
      o.long_documents,
      {{"error", LongDocuments::error},
       {"split", LongDocuments::split},
       {"truncate", LongDocuments::truncate}},
      "What happens to longer documents; default error");
  command.add_flag(
      "--pack",
      o.pack,
      "Whole documents share rows of --max-seq-length; the same training, "
      "without padding");
  command
      .add_option("--seed", o.seed, "Of data order, fresh weights and dropout")
      ->check(whole_number())
      ->capture_default_str();
  add_choice<bool>(
      command,
      "--log",
      o.log_tensorboard,
      {{"jsonl", false}, {"tensorboard", true}},
      "Metrics: in metrics.jsonl alone (the default), or for TensorBoard too");
  command.add_flag(
      "--resume",
      o.resume,
      "Go on from the newest checkpoint of the run folder; from step 0 where "
      "there is none yet");
  command.add_flag(
      "--force", o.force, "Remove what another run left in the run folder");
}

void add_schedule_options(CLI::App& command, FinetuneOptions& o) {
  command.option_defaults()->group("Optimiser");
  using Kind = LearningRateSchedule::Kind;
  add_choice<OptimizerKind>(
      command,
      "--optimizer",
      o.optimizer,
      {{"adamw", OptimizerKind::adamw}, {"adam", OptimizerKind::adam}},
      "Default adamw");
  command.add_option("--learning-rate", o.learning_rate, "At its highest")
      ->capture_default_str();
  add_choice<Kind>(
      command,
      "--lr-schedule,--lr-name",
      o.lr_schedule.kind,
      {{"constant", Kind::constant},
       {"linear", Kind::linear},
       {"cosine", Kind::cosine},
       {"cosine_decay", Kind::cosine}},
      "After the warm-up; default constant");
  command
      .add_option(
          "--warmup,--lr-warmup", o.lr_schedule.warmup, "Steps of warm-up")
      ->capture_default_str();
  command
      .add_option(
          "--min-learning-rate,--lr-min-lr",
          o.lr_schedule.final_rate,
          "What the schedule falls to")
      ->capture_default_str();
  command.add_option("--weight-decay", o.weight_decay, "Decoupled; adamw only")
      ->capture_default_str();
  command
      .add_option(
          "--max-grad-norm",
          o.max_grad_norm,
          "Gradients are scaled down to this norm; 0: never")
      ->capture_default_str();
  command
      .add_option(
          "--grad-accumulation-steps",
          o.grad_accumulation_steps,
          "Batches of an update")
      ->capture_default_str();
}

void add_loop_options(CLI::App& command, FinetuneOptions& o) {
  command.option_defaults()->group("Loop");
  command.add_option("--iters", o.iters, "Updates")->capture_default_str();
  command.add_option("--epochs", o.epochs, "In place of --iters");
  command
      .add_option(
          "--batch-size", o.batch_size, "Documents of a batch; of --pack, rows")
      ->capture_default_str();
  command
      .add_option(
          "--steps-per-report",
          o.steps_per_report,
          "Steps between lines of metrics.jsonl")
      ->capture_default_str();
  command
      .add_option(
          "--steps-per-eval", o.steps_per_eval, "Steps between evaluations")
      ->capture_default_str();
  command
      .add_option(
          "--val-batches",
          o.val_batches,
          "Batches of an evaluation; -1: the whole split")
      ->capture_default_str();
  command
      .add_option(
          "--test-batches",
          o.test_batches,
          "Batches of the test; -1: the whole split")
      ->capture_default_str();
  command
      .add_option(
          "--save-every", o.save_every, "Steps between checkpoints; 0: none")
      ->capture_default_str();
  command
      .add_option(
          "--keep-checkpoints",
          o.keep_checkpoints,
          "The newest so many; 0: all")
      ->capture_default_str();
}

// Bare, as mlx-lm's flag, or true in a file: all.
GradCheckpoint checkpoint_of(const std::string& text) {
  using Kind = GradCheckpoint::Kind;
  static const std::map<std::string, Kind> names{
      {"", Kind::all},
      {"all", Kind::all},
      {"true", Kind::all},
      {"auto", Kind::automatic},
      {"off", Kind::off},
      {"false", Kind::off}};
  if (const auto named = names.find(text); named != names.end()) {
    return {named->second, 0};
  }
  int layers = 0;
  if (!CLI::detail::lexical_cast(text, layers) || layers < 0) {
    throw CLI::ValidationError(
        "--grad-checkpoint",
        "expected off, auto, all or a number of layers; got " + text);
  }
  return {Kind::layers, layers};
}

void add_memory_options(CLI::App& command, FinetuneOptions& o) {
  command.option_defaults()->group("Memory");
  command
      .add_option_function<std::string>(
          "--grad-checkpoint",
          [&o](const std::string& text) {
            o.grad_checkpoint = checkpoint_of(text);
          },
          "Layers computed again in the backward pass: off, auto (as few as "
          "memory needs; the default), all (also bare), or the first N")
      ->expected(0, 1)
      ->option_text("{off,auto,all,N}");
  command
      .add_option(
          "--max-memory",
          o.max_memory,
          "What the run may take, such as 12GiB; default: what is free")
      ->transform(CLI::AsSizeValue(false));
}

} // namespace

void on_finetune_options(
    CLI::App& command, std::function<void(const FinetuneOptions&)> run) {
  auto options = std::make_shared<FinetuneOptions>();
  auto config = std::make_shared<std::filesystem::path>();
  command
      .add_option(
          "-c,--config", *config, "YAML with these options; flags win over it")
      ->configurable(false);
  auto table = std::make_shared<TableFlag>();
  add_model_options(command, *options, *table);
  add_lora_options(command, options->lora);
  add_data_options(command, *options);
  add_schedule_options(command, *options);
  add_loop_options(command, *options);
  add_memory_options(command, *options);
  command.callback([&command, options, config, table, run = std::move(run)] {
    if (!config->empty()) {
      apply_config_file(command, *config);
    }
    use_saved_table(*table);
    run(*options);
  });
}

} // namespace tessera::cli
