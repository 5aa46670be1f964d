#pragma once

#include "train/setup.h"

namespace tessera::train {

// Makes the run folder where it is not there yet. InputError where it cannot be
// written, or holds another run that the options neither resume nor, by force,
// give up. Removes nothing.
void claim_folder(const FinetuneOptions& options);

// Removes what is left of another run, writes config.json, and drops the lines
// of metrics.jsonl that lie behind the checkpoint resumed from.
void begin_folder(const Run& run);

// A line of metrics.jsonl.
void add_metrics(const Run& run, const nlohmann::json& line);

// Copies tokenizer.json and whatever lies in `from` beside it: its config, chat
// template, vocabulary.
void copy_tokenizer(
    const std::filesystem::path& from,
    const std::filesystem::path& tokenizer,
    const std::filesystem::path& to);

// What training has made: adapter files in the run folder, or the Hugging Face
// folder model/ in it. Returns the folder to give to generate and score.
std::filesystem::path write_output(const Run& run);

} // namespace tessera::train
