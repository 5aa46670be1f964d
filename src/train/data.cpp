#include "train/data.h"

#include <algorithm>

#include "tessera/error.h"

namespace tessera::train {

namespace fs = std::filesystem;

namespace {

DatasetOptions reading_of(const Run& run) {
  const FinetuneOptions& options = run.options;
  DatasetOptions reading{
      options.mask_prompt, options.max_seq_length, options.long_documents};
  reading.tokenizer_folder = options.tokenizer.parent_path();
  const auto& ends = run.network.config.eos_token_ids;
  if (!ends.empty()) {
    reading.eos_id = ends.front();
  }
  return reading;
}

// How many documents it left out.
std::size_t leave_out_untaught(Dataset& data) {
  const std::size_t count =
      std::erase_if(data.documents, [](const Document& document) {
        return std::ranges::count(loss_weights(document), 1.0f) == 0;
      });
  if (data.documents.empty()) {
    reject(
        "finetune",
        "expected documents with a token to learn in {}; got none",
        data.file.string());
  }
  return count;
}

void add_notes(
    const Dataset& data,
    std::size_t untaught,
    const FinetuneOptions& options,
    std::vector<std::string>& notes) {
  if (untaught > 0) {
    notes.push_back(fmt::format(
        "{} documents of {} have no token to learn and are left out",
        untaught,
        data.file.string()));
  }
  if (data.long_documents > 0) {
    notes.push_back(fmt::format(
        "{} documents of {} have more than {} tokens: {}",
        data.long_documents,
        data.file.string(),
        options.max_seq_length,
        options.long_documents == LongDocuments::split
            ? "split, each token still predicted once"
            : fmt::format("{} tokens left out", data.cut_tokens)));
  }
}

void check_vocabulary(const Dataset& data, std::int32_t vocab_size) {
  for (const Document& document : data.documents) {
    for (const std::int32_t id : document.tokens) {
      if (id < 0 || id >= vocab_size) {
        reject(
            "finetune",
            "expected tokens below the model's vocab_size {}; got {} in {}, "
            "line {}; the tokenizer is of another model",
            vocab_size,
            id,
            data.file.string(),
            document.line);
      }
    }
  }
}

Dataset read_split(
    const std::string& split,
    bool required,
    const Tokenizer& tokenizer,
    Run& run) {
  const fs::path file = find_split(run.options.data, split, required);
  if (file.empty()) {
    return {};
  }
  Dataset data = read_dataset(file, tokenizer, reading_of(run));
  const std::size_t untaught = leave_out_untaught(data);
  add_notes(data, untaught, run.options, run.plan.notes);
  check_vocabulary(data, run.network.config.vocab_size);
  return data;
}

} // namespace

void read_data(Run& run) {
  const FinetuneOptions& options = run.options;
  const Tokenizer tokenizer = Tokenizer::load(options.tokenizer);
  if (options.train) {
    run.train = read_split("train", true, tokenizer, run);
    run.valid = read_split("valid", false, tokenizer, run);
    if (run.valid.documents.empty()) {
      run.plan.notes.push_back(fmt::format(
          "no valid.jsonl or valid.txt in {}: no evaluation",
          options.data.string()));
    }
  }
  if (options.test) {
    run.test = read_split("test", true, tokenizer, run);
  }
}

} // namespace tessera::train
