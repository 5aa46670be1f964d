#include "tessera/finetune.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "api/tuning.h"
#include "model/file.h"
#include "model/finite.h"
#include "ops/ours.h"
#include "tessera/error.h"
#include "tessera/profile.h"
#include "train/log/interval.h"
#include "train/log/report.h"
#include "train/math/optimizer.h"
#include "train/math/schedule.h"
#include "train/memory/machine.h"
#include "train/options.h"
#include "train/order.h"
#include "train/run/checkpoint.h"
#include "train/run/folder.h"
#include "train/run/tuning.h"
#include "train/setup.h"
#include "train/trainer.h"

namespace tessera {

namespace train {

namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// What one update reads.
struct Portion {
  std::vector<Batch> batches;
  std::vector<Rows> documents; // of each batch
  std::int64_t tokens = 0;  // read to predict the next one, padding not counted
  std::int64_t targets = 0; // that count in the loss
};

// "data/train.jsonl:3,17,4": where documents come from.
std::string places_of(const Dataset& data, const Rows& rows) {
  std::vector<std::int64_t> lines;
  for (const auto& row : rows) {
    for (std::size_t i : row) {
      lines.push_back(data.documents[i].line);
    }
  }
  return fmt::format("{}:{}", data.file.string(), fmt::join(lines, ","));
}

AdamConfig adam_of(const FinetuneOptions& options) {
  bool decays = options.optimizer == OptimizerKind::adamw;
  return {
      options.beta1,
      options.beta2,
      options.epsilon,
      decays ? options.weight_decay : 0.0};
}

// Sets the seeds of dropout apart from those of the data's order.
constexpr std::uint64_t dropout_seeds = 2;

class Loop {
 public:
  Loop(Run& run, FinetuneObserver& observer)
      : run_(run),
        options_(run.options),
        observer_(observer),
        order_(
            options_.train ? run.train : run.test,
            update_shape(options_),
            options_.seed),
        interval_(interval_of(run.interval)) {}

  FinetuneResult run();

 private:
  FinetuneResult train();
  void take_steps(FinetuneResult& result);
  Portion portion();
  UpdateOptions update_options() const;
  StepReport step();
  void check_finite(const Updated& updated, const Portion& read) const;
  void check_parameters() const;
  std::string newest_name() const;
  void write_metrics(const StepReport& report);
  EvalReport evaluate(const Dataset& data, std::string split, int max_batches);
  EvalReport validate();
  EvalReport test();
  void add_evaluation(const EvalReport& report);
  std::filesystem::path save();

  bool last() const {
    return run_.state.updates == options_.iters;
  }
  bool due(int every) const {
    return every > 0 && (run_.state.updates % every == 0 || last());
  }
  bool evaluates() const {
    return !run_.valid.documents.empty() && options_.val_batches != 0;
  }

  Run& run_;
  const FinetuneOptions& options_;
  FinetuneObserver& observer_;
  BatchOrder order_;
  Interval interval_;
  Stopwatch clock_;
  double train_seconds_ = 0;
  std::int64_t train_tokens_ = 0;
};

Portion Loop::portion() {
  Portion portion;
  const auto& rows =
      order_.batch(static_cast<std::uint64_t>(run_.state.updates));
  const auto size = static_cast<std::size_t>(options_.batch_size);
  for (std::size_t begin = 0; begin < rows.size(); begin += size) {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto count = std::min(size, rows.size() - begin);
    const Rows batch(first, first + static_cast<std::ptrdiff_t>(count));
    portion.batches.push_back(make_batch(run_.train, batch));
    portion.documents.push_back(batch);
    portion.tokens += portion.batches.back().token_count;
    portion.targets += portion.batches.back().target_count;
  }
  return portion;
}

UpdateOptions Loop::update_options() const {
  int i = run_.state.updates;
  std::uint64_t seeds = derive_seed(options_.seed, dropout_seeds);
  return {
      learning_rate(
          options_.lr_schedule, options_.learning_rate, i, options_.iters),
      options_.max_grad_norm,
      adam_of(options_),
      derive_seed(seeds, static_cast<std::uint64_t>(i))};
}

StepReport Loop::step() {
  Stopwatch clock;
  AttentionProfile before = attention_profile();
  Portion read = portion();
  UpdateOptions how = update_options();
  auto updated = update(run_.network, std::move(run_.state), read.batches, how);
  run_.state = std::move(updated.state);
  check_finite(updated, read);
  double seconds = clock.seconds();

  interval_.loss += double(updated.loss) * static_cast<double>(read.targets);
  interval_.targets += read.targets;
  interval_.tokens += read.tokens;
  interval_.seconds += seconds;
  interval_.steps += 1;
  interval_.add(before, attention_profile());
  train_tokens_ += read.tokens;
  train_seconds_ += seconds;
  StepReport report;
  report.step = run_.state.updates;
  report.loss = updated.loss;
  report.learning_rate = how.learning_rate;
  report.grad_norm = updated.grad_norm;
  report.tokens = read.tokens;
  report.tokens_per_second =
      static_cast<double>(interval_.tokens) / interval_.seconds;
  report.peak_memory_gib = peak_memory_gib();
  report.seconds = clock_.seconds();
  if (options_.profile_attention) {
    report.attention = attention_report(interval_, run_.peak_flops);
  }
  return report;
}

void Loop::check_finite(const Updated& updated, const Portion& read) const {
  if (std::isfinite(updated.loss) && std::isfinite(updated.grad_norm)) {
    return;
  }
  const auto at_fault = [](float share) {
    return !std::isfinite(share);
  };
  const bool known =
      std::any_of(updated.shares.begin(), updated.shares.end(), at_fault);
  std::vector<std::string> places;
  for (std::size_t k = 0; k < read.documents.size(); ++k) {
    if (!known || at_fault(updated.shares[k])) {
      places.push_back(fmt::format(
          "batch {} of {} ({})",
          k + 1,
          read.documents.size(),
          places_of(run_.train, read.documents[k])));
    }
  }
  reject(
      "finetune",
      "expected a finite loss and gradient; got loss {} and gradient norm {} "
      "at step {} in {}; look at these documents or try a lower "
      "--learning-rate; newest checkpoint: {}",
      updated.loss,
      updated.grad_norm,
      run_.state.updates,
      fmt::join(places, ", "),
      newest_name());
}

// What a checkpoint holds must be able to go on.
void Loop::check_parameters() const {
  if (auto name = first_not_finite(run_.state.parameters)) {
    reject(
        "finetune",
        "expected finite parameters; got {} with NaN or infinity after step "
        "{}; try a lower --learning-rate; newest checkpoint: {}",
        *name,
        run_.state.updates,
        newest_name());
  }
}

std::string Loop::newest_name() const {
  auto saved = newest_checkpoint(options_.adapter_path);
  return saved ? saved->string() : "none";
}

void Loop::write_metrics(const StepReport& report) {
  nlohmann::json line = {
      {"step", report.step},
      {"loss", interval_.loss / static_cast<double>(interval_.targets)},
      {"learning_rate", report.learning_rate},
      {"grad_norm", report.grad_norm},
      {"tokens_per_second", report.tokens_per_second},
      {"peak_memory_gib", report.peak_memory_gib},
      {"seconds", report.seconds}};
  if (options_.profile_attention) {
    line.update(attention_metrics(report.attention));
  }
  add_metrics(run_, line);
  interval_ = {};
}

EvalReport Loop::evaluate(
    const Dataset& data, std::string split, int max_batches) {
  EvalReport report = train::evaluate(
      run_.network,
      run_.state.parameters,
      {data, batch_shape(options_), max_batches, [&](int done, int all) {
         observer_.evaluating(done, all);
       }});
  report.split = std::move(split);
  report.step = run_.state.updates;
  observer_.evaluated(report);
  return report;
}

EvalReport Loop::validate() {
  EvalReport report = evaluate(run_.valid, "valid", options_.val_batches);
  add_evaluation(report);
  write_report(options_.adapter_path, "running");
  return report;
}

void Loop::add_evaluation(const EvalReport& report) {
  add_metrics(
      run_,
      {{"step", report.step},
       {"split", report.split},
       {"eval_loss", report.loss},
       {"perplexity", report.perplexity}});
}

std::filesystem::path Loop::save() {
  check_parameters();
  sync_metrics(run_);
  auto folder = save_checkpoint(
      options_.adapter_path,
      {run_.state, run_.identity, to_json(interval_)},
      kind_of(run_));
  prune_checkpoints(options_.adapter_path, options_.keep_checkpoints);
  write_report(options_.adapter_path, "running");
  observer_.saved(folder);
  return folder;
}

void Loop::take_steps(FinetuneResult& result) {
  // Evaluation comes after saving: a resumed run begins with the one that is
  // due at its checkpoint.
  if (evaluates() &&
      (run_.state.updates == 0 || due(options_.steps_per_eval))) {
    result.first_eval = result.last_eval = validate();
  }
  while (!last() && !result.interrupted) {
    StepReport report = step();
    result.train_loss = report.loss;
    if (due(options_.steps_per_report)) {
      write_metrics(report);
    }
    observer_.stepped(report);
    result.interrupted = observer_.should_stop() && !last();
    if (result.interrupted || due(options_.save_every)) {
      result.output = save();
    }
    if (evaluates() && due(options_.steps_per_eval) && !result.interrupted) {
      result.last_eval = validate();
    }
  }
}

FinetuneResult Loop::train() {
  FinetuneResult result;
  begin_folder(run_);
  take_steps(result);
  if (!result.interrupted) {
    check_parameters();
    result.output = write_output(run_);
    if (options_.test) {
      result.test = test();
      add_evaluation(*result.test);
    }
  }
  write_report(
      options_.adapter_path, result.interrupted ? "interrupted" : "finished");
  return result;
}

EvalReport Loop::test() {
  return evaluate(run_.test, "test", options_.test_batches);
}

FinetuneResult Loop::run() {
  FinetuneResult result;
  if (options_.train) {
    result = train();
  } else {
    result.test = test();
    result.output = options_.adapter_path;
  }
  result.steps = run_.state.updates;
  result.seconds = clock_.seconds();
  result.tokens_per_second = train_seconds_ > 0
      ? static_cast<double>(train_tokens_) / train_seconds_
      : 0.0;
  result.peak_memory_gib = peak_memory_gib();
  result.attention = run_.plan.attention;
  return result;
}

} // namespace

} // namespace train

FinetuneResult finetune(
    const FinetuneOptions& options, FinetuneObserver& observer) {
  train::check_options(options);
  std::optional<train::FolderLock> lock;
  if (options.train) {
    lock.emplace(train::claim_folder(options));
  }
  train::return_freed_memory();
  const TableScope table(train::tuning_of(options));
  train::Run run = train::prepare(options);
  std::optional<train::KeptMemory> kept;
  if (ops::is_ours(run.network.dtype)) { // else no node of ours makes room
    kept.emplace(run.plan.memory.predicted);
  }
  observer.started(run.plan);
  try {
    return train::Loop(run, observer).run();
  } catch (const WriteError& error) {
    throw InputError(fmt::format("{}; then go on with --resume", error.what()));
  }
}

FinetuneResult finetune(const FinetuneOptions& options) {
  FinetuneObserver silent;
  return finetune(options, silent);
}

} // namespace tessera
