#pragma once

#include "train/run/lock.h"
#include "train/setup.h"

namespace tessera::train {

// Makes the run folder where it is not there yet, and keeps others out of it.
// InputError where it cannot be written, another process works in it, or it
// holds a run that the options neither resume nor, by force, give up, or
// something else. Removes nothing.
FolderLock claim_folder(const FinetuneOptions& options);

// config.json of the run that a folder holds; none where it holds no run.
std::optional<nlohmann::json> recorded_run(const std::filesystem::path& folder);

// Removes what is left of another run, or, resuming, the lines of metrics.jsonl
// that lie behind the checkpoint resumed from and what a killed process did not
// come to remove; writes config.json and begins the event file.
void begin_folder(Run& run);

// A line of metrics.jsonl, and the event of it.
void add_metrics(const Run& run, const nlohmann::json& line);

// Copies tokenizer.json and whatever lies in `from` beside it: its config, chat
// template, vocabulary.
void copy_tokenizer(
    const std::filesystem::path& from,
    const std::filesystem::path& tokenizer,
    const std::filesystem::path& to);

// Returns once all lines so far are on the disk. A checkpoint that is there
// without them would be gone on from without them.
void sync_metrics(const Run& run);

// What training has made: adapter files in the run folder, or the Hugging Face
// folder model/ in it. Returns the folder to give to generate and score.
std::filesystem::path write_output(const Run& run);

} // namespace tessera::train
