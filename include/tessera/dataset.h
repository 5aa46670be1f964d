#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/tokenizer.h"

namespace tessera {

struct Document {
  TokenIds tokens;
  // The first `prompt_length` tokens are context: the loss does not count their
  // prediction. 0 for plain text.
  std::int32_t prompt_length = 0;
  // Where it came from, 1-based: its line, or the row of a .txt.
  std::int64_t line = 1;

  bool operator==(const Document&) const = default;
};

struct Dataset {
  std::filesystem::path file;
  std::vector<Document> documents;
};

struct DatasetOptions {
  // Leave the prompt of {"prompt", "completion"} out of the loss.
  bool mask_prompt = false;
  // The most tokens a document may have; 0 for any number.
  std::int32_t max_seq_length = 0;
  // Appended to each document that does not end in it already; absent: none.
  std::optional<std::int32_t> eos_id = std::nullopt;
};

// Reads one file.
//   .jsonl  a document a line: {"text"} or {"prompt", "completion"}. One that
//           has more than max_seq_length tokens is an InputError that counts
//           them all, names the longest and the flag to use.
//   .txt    one stream of text, cut into rows of max_seq_length tokens; a row
//           begins with the last token of the row before, so that each token
//           is predicted once and none is lost. With max_seq_length 0 it is
//           one document.
// Prompt and completion are encoded as the one text that they make. A token
// that reaches over the boundary belongs to the completion. Other keys are
// ignored. Malformed JSON, a wrong type, an unknown shape or chat data
// ("messages") is an InputError with file and line; so is a file without
// documents, and mask_prompt where there is no prompt. A document without a
// token to predict is kept: scoring has a line for it, training counts it and
// leaves it out.
Dataset read_dataset(
    const std::filesystem::path& file,
    const Tokenizer& tokenizer,
    const DatasetOptions& options = {});

// The file of a split in a data folder: <split>.jsonl or <split>.txt. Both or
// none is an InputError (none and !required: an empty path).
std::filesystem::path find_split(
    const std::filesystem::path& folder,
    const std::string& split,
    bool required = true);

// The order of `count` documents in an epoch: a permutation that depends on
// count, seed and epoch alone, the same on every machine.
std::vector<std::size_t> epoch_order(
    std::size_t count, std::uint64_t seed, std::uint64_t epoch);

// One row of tokens per document, padded on the right with `pad_id` to the
// longest of the batch. Everything is row-major [rows, columns].
struct Batch {
  std::int32_t rows = 0;
  std::int32_t columns = 0;
  std::vector<std::int32_t> inputs;  // token t of a row
  std::vector<std::int32_t> targets; // token t + 1
  std::vector<float> weights; // 1 where the target counts in the loss, else 0
  std::int64_t target_count = 0; // how many weights are 1
};

Batch make_batch(
    const Dataset& data,
    std::span<const std::size_t> documents,
    std::int32_t pad_id = 0);

} // namespace tessera
