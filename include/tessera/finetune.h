#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tessera/dataset.h"
#include "tessera/lora.h"
#include "tessera/model.h"

namespace tessera {

enum class FineTuneType { lora, full };
enum class OptimizerKind { adamw, adam };

// The learning rate of update i (from 0) of n. It climbs in a straight line,
// learning_rate * (i + 1) / (warmup + 1) for i < warmup; then it stays, or
// falls towards `final_rate`, which it would reach at i = n: along a straight
// line, or half a cosine (Loshchilov and Hutter, "SGDR" (2016), equation 5).
struct LearningRateSchedule {
  enum class Kind { constant, linear, cosine };
  Kind kind = Kind::constant;
  int warmup = 0;
  double final_rate = 0.0;

  bool operator==(const LearningRateSchedule&) const = default;
};

// Which layers keep only their input for the backward pass and are computed
// again there: less memory, the same bits, up to a third more time.
struct GradCheckpoint {
  enum class Kind {
    off,
    automatic, // as few layers as keep the run under 80 % of its memory
    all,
    layers, // the first `layers`
  };
  Kind kind = Kind::automatic;
  int layers = 0;

  bool operator==(const GradCheckpoint&) const = default;
};

// A run of training. Names and defaults are mlx_lm.lora's where it has them.
struct FinetuneOptions {
  // A Hugging Face folder. Not needed with `init`.
  std::filesystem::path model;
  // A folder with train, valid and test as .jsonl or .txt; see dataset.h.
  std::filesystem::path data;
  // The run folder.
  std::filesystem::path adapter_path = "adapters";
  // A config.json: train from scratch, all parameters, with its shape.
  std::filesystem::path init;
  // A tokenizer.json; empty: the one in `model`, or beside `init`.
  std::filesystem::path tokenizer;

  FineTuneType fine_tune_type = FineTuneType::lora;
  LoraConfig lora;
  // lora: start from this adapter, a file or a folder in mlx-lm's or PEFT's
  // form, instead of a fresh one.
  std::filesystem::path resume_adapter_file;
  // Take an adapter that says it was trained on another model.
  bool allow_other_base = false;
  // Compute type; float32 on the CPU and bfloat16 elsewhere where absent. What
  // is trained, its gradients and the optimiser's state are float32 whatever
  // this is.
  std::optional<mx::Dtype> dtype;
  Implementation use_flash_attention = Implementation::automatic;
  int flash_block_size = 0;
  // Adds to metrics.jsonl, report and terminal what Tessera's attention takes
  // of a step, as AttentionReport has it; times of MLX's op are null. By name:
  // attention_time_ms with its _forward_ and _backward_ parts,
  // attention_share_pct of the step's time, attention_gflops with its parts,
  // attention_moved_mb, memory_usage_mb (peak), alu_utilization_pct (of the
  // measured peak of the CPU's arithmetic units) and gpu_utilization_pct; null
  // where the device gives none.
  bool profile_attention = false;
  // Metrics also as TensorBoard's event files, in adapter_path/tensorboard.
  bool log_tensorboard = false;

  bool train = true;
  // Evaluate on the test split at the end (with train = false: nothing else,
  // on what adapter_path holds; nothing is written).
  bool test = false;
  // Updates of the parameters; or, where epochs is set, as many as that many
  // passes over the training split take.
  int iters = 1000;
  std::optional<int> epochs;
  int batch_size = 4;
  // Each update averages the gradient over this many batches, by token.
  int grad_accumulation_steps = 1;
  int max_seq_length = 2048;
  LongDocuments long_documents = LongDocuments::error;
  // Whole documents share rows of max_seq_length tokens. Attention, positions
  // and loss keep them apart: it is the same training, without padding.
  bool pack = false;
  bool mask_prompt = false;
  std::uint64_t seed = 0;

  GradCheckpoint grad_checkpoint;
  // Bytes that the run may take; 0: what the machine has free.
  std::int64_t max_memory = 0;

  OptimizerKind optimizer = OptimizerKind::adamw;
  double learning_rate = 1e-5;
  LearningRateSchedule lr_schedule;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01; // adamw only
  // Gradients are scaled down to this global 2-norm; 0: never.
  double max_grad_norm = 1.0;

  int steps_per_report = 10;
  int steps_per_eval = 200;
  // Batches of an evaluation; -1 for the whole split, 0 (val_batches) for none.
  int val_batches = 25;
  int test_batches = 500;
  // Updates between checkpoints; 0: none but that of an interrupted run.
  int save_every = 100;
  // The newest so many checkpoints are kept; 0: all.
  int keep_checkpoints = 3;

  // Go on from the newest checkpoint in adapter_path that is not damaged, to
  // the same bits that an unbroken run gives. Where there is none yet, and the
  // folder holds nothing or this same run, begin at step 0.
  bool resume = false;
  // Remove what another run left in adapter_path.
  bool force = false;
};

// What packing does to an epoch of the training split.
struct PackingReport {
  std::size_t rows = 0;
  double fill = 0.0; // tokens of documents among those of the rows, 0 to 1
  // Tokens that padded batches of the same rows would hold, by those that
  // packed ones do.
  double fewer_tokens = 1.0;
};

// Bytes at the peak of a step, by what takes them. On the CPU all of it is the
// process's resident set; elsewhere what MLX's allocator holds.
struct MemoryPrediction {
  std::int64_t base = 0;    // the process, its libraries and the data
  std::int64_t weights = 0; // frozen
  std::int64_t trained = 0; // adapter, or every parameter, with its gradient
  std::int64_t optimizer = 0;
  std::int64_t activations = 0; // kept for the backward pass, and in use there
  std::int64_t attention = 0;   // what it needs beside its inputs and outputs
  std::int64_t loss = 0;
  std::int64_t cache = 0; // that the device's allocator keeps back

  std::int64_t peak() const {
    return base + weights + trained + optimizer + activations + attention +
        loss + cache;
  }

  // What of it MLX's allocator holds in use.
  std::int64_t arrays() const {
    return weights + trained + optimizer + activations + loss;
  }
};

// The memory that a run will take, and what would fit.
struct MemoryPlan {
  MemoryPrediction predicted;
  std::int64_t available = 0; // bytes that the run may take; 0: not known
  int layers = 0;
  int recomputed_layers = 0;
  // The largest batch that is trained on, in rows and tokens a row.
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  // With the other of the two as it is: the most that would fit; 0: none.
  std::int64_t most_rows = 0;
  std::int64_t most_columns = 0;

  bool fits() const {
    return available == 0 || predicted.peak() <= available;
  }
};

// What is known before the first step.
struct RunPlan {
  ModelConfig model;
  std::int64_t parameters = 0;
  std::int64_t trainable_parameters = 0;
  std::size_t train_documents = 0;
  std::size_t valid_documents = 0; // 0: there is no such split
  std::size_t test_documents = 0;
  std::int64_t train_tokens = 0;     // of one epoch
  std::int64_t longest_document = 0; // tokens
  std::optional<PackingReport> packing;
  int steps = 0;      // updates in all
  int first_step = 0; // updates done before: those of the checkpoint
  double epochs = 0.0;
  Choice attention;
  MemoryPlan memory;
  std::vector<Choice> attention_of_layers;
  std::string dtype;
  // Whatever the user should know of it, a line each: documents without a token
  // to learn, no validation split, ...
  std::vector<std::string> notes;
};

// What Tessera's attention takes: means of a step since the last line of
// metrics.jsonl.
struct AttentionReport {
  double forward_seconds = 0;
  double backward_seconds = 0;
  double share = 0;         // of the step's time
  double forward_flops = 0; // a second; see PassProfile for what counts
  double backward_flops = 0;
  double flops = 0;              // of both
  std::optional<double> of_peak; // flops over the measured peak of the machine
  double bytes = 0;              // see PassProfile
};

// After each update.
struct StepReport {
  int step = 0;      // updates done
  float loss = 0.0f; // mean over the step's target tokens, before the update
  double learning_rate = 0.0;
  float grad_norm = 0.0f;         // before clipping
  std::int64_t tokens = 0;        // read in this step, padding not counted
  double tokens_per_second = 0.0; // since the last line of metrics.jsonl
  double peak_memory_gib = 0.0;
  double seconds = 0.0; // since the run, or its resumption, began
  std::optional<AttentionReport> attention; // with profile_attention
};

struct EvalReport {
  std::string split; // "valid" or "test"
  int step = 0;
  double loss = 0.0; // mean over target tokens
  double perplexity = 0.0;
  std::int64_t target_tokens = 0;
};

// Told what happens; every function may be left as it is.
class FinetuneObserver {
 public:
  virtual ~FinetuneObserver() = default;
  virtual void started(const RunPlan&) {}
  virtual void stepped(const StepReport&) {}
  // A batch of an evaluation is done: `batch` of `batches`.
  virtual void evaluating(int /*batch*/, int /*batches*/) {}
  virtual void evaluated(const EvalReport&) {}
  virtual void saved(const std::filesystem::path& /*folder*/) {}
  // Asked after each update: true makes the run save a checkpoint and return.
  virtual bool should_stop() {
    return false;
  }
};

struct FinetuneResult {
  bool interrupted = false;
  int steps = 0;                        // updates done
  std::optional<float> train_loss;      // of the last step
  std::optional<EvalReport> first_eval; // before this call's first step
  std::optional<EvalReport> last_eval;
  std::optional<EvalReport> test;
  double seconds = 0.0;
  double tokens_per_second = 0.0;
  double peak_memory_gib = 0.0;
  Choice attention;
  // What to give to generate or score: a folder with an adapter (lora), or a
  // Hugging Face folder (full).
  std::filesystem::path output;
};

// Trains, and leaves in options.adapter_path
//   config.json     every option as it was resolved, versions, attention path
//   metrics.jsonl   a line each steps_per_report and each evaluation
//   report.html     curves and options, one file that needs no network
//   tensorboard/    events, with log_tensorboard
//   checkpoints/step-0000100/   weights, optimiser state, position
//   adapters.safetensors, adapter_config.json   (lora) in mlx-lm's form
//   peft/           the same in PEFT's (lora)
//   model/          config.json, weights in `dtype`, tokenizer (full)
//
// Loss: mean cross entropy, in float32, over the target tokens of a batch.
// Deterministic: the same options and files give the same bits, whether the run
// is interrupted and resumed or not.
//
// A run that ended in whatever way, at whatever moment, can be resumed: every
// file is whole or not there, and a checkpoint is checked before it is used.
// Attention follows the saved table in use (see `tessera tune`), a resumed run
// what its folder recorded.
//
// Throws InputError, one line that names what to do, where options or files do
// not fit, the folder holds another run, a file cannot be written, or loss,
// gradient or parameters are not finite: then it names the step and the
// documents of the batch. Checkpoints stay.
FinetuneResult finetune(
    const FinetuneOptions& options, FinetuneObserver& observer);
FinetuneResult finetune(const FinetuneOptions& options);

// What finetune() would take and whether it fits, from config, tokenizer and
// data alone: no weights are read and nothing is written. InputError as there,
// except where the run does not fit.
MemoryPlan plan_memory(const FinetuneOptions& options);

} // namespace tessera
