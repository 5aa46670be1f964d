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
  // The loss does not count the prediction of these tokens: a prompt, or what
  // others than the assistant say. In order, apart; none for plain text.
  std::vector<TokenSpan> context = {};
  // Where it came from, 1-based: its line, or the row of a .txt.
  std::int64_t line = 1;

  bool operator==(const Document&) const = default;
};

// 1 for each token whose prediction counts in the loss, else 0: the first
// token, which nothing predicts, and the context. [tokens]
std::vector<float> loss_weights(const Document& document);

struct Dataset {
  std::filesystem::path file;
  std::vector<Document> documents;
  // Documents that were longer than max_seq_length, and how many tokens are no
  // longer predicted because of it.
  std::size_t long_documents = 0;
  std::int64_t cut_tokens = 0;
};

// What happens to a document of more than max_seq_length tokens.
enum class LongDocuments {
  error,    // InputError: counts them all, names the longest and the flag
  split,    // cut in pieces; each begins with the last token of the one before,
            // so that every token is still predicted once
  truncate, // the rest is left out
};

struct DatasetOptions {
  // Leave the prompt of {"prompt", "completion"}, and all but the assistant's
  // answers of {"messages"}, out of the loss.
  bool mask_prompt = false;
  // The most tokens a document may have; 0 for any number.
  std::int32_t max_seq_length = 0;
  LongDocuments long_documents = LongDocuments::error;
  // Appended to each document that does not end in it already; absent: none.
  std::optional<std::int32_t> eos_id = std::nullopt;
  // The tokenizer's folder, which the chat template is read from where there
  // are chats.
  std::filesystem::path tokenizer_folder = {};
};

// Reads one file.
//   .jsonl  a document a line: {"text"}, {"prompt", "completion"}, or
//           {"messages": [{"role", "content"}, ...]}, a chat in the form of the
//           tokenizer's own template (see chat.h), to which no end token is
//           added.
//   .txt    one stream of text, cut into rows of max_seq_length tokens; a row
//           begins with the last token of the row before, so that each token
//           is predicted once and none is lost. With max_seq_length 0 it is
//           one document.
// Prompt and completion are encoded as the one text that they make. A token
// that reaches over the boundary belongs to the completion. Other keys are
// ignored. Malformed JSON, a wrong type, an unknown shape or a chat that
// the template does not allow is an InputError with file and line; so is a file
// without documents, and mask_prompt where there is no prompt. A document
// without a token to predict is kept: scoring has a line for it, training
// counts it and leaves it out.
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

// What each row of a batch holds: documents, by their index, one behind the
// other.
using Rows = std::vector<std::vector<std::size_t>>;

// Packs documents into rows of `capacity` tokens that are read to predict the
// next (a document of n tokens has n - 1 of these), the longest first, each
// into the fullest row that still has room for it: best fit, decreasing
// (Johnson, "Fast Algorithms for Bin Packing" (1974), which needs at most 11/9
// of the fewest rows). `documents` gives the order among documents of one
// length. How many rows it makes does not depend on that order. InputError
// where a document has more than `capacity`.
Rows pack(
    const Dataset& data,
    const std::vector<std::size_t>& documents,
    std::int32_t capacity);

// Tokens that a document is read for, each to predict the next; and those of
// the longest row.
std::size_t cells_of(const Dataset& data, std::size_t document);
std::size_t columns_of(const Dataset& data, const Rows& rows);

// Rows of tokens, padded on the right with `pad_id` to the longest. Everything
// is row-major [rows, columns].
struct Batch {
  std::int32_t rows = 0;
  std::int32_t columns = 0;
  std::vector<std::int32_t> inputs;  // token t of a document
  std::vector<std::int32_t> targets; // token t + 1
  std::vector<float> weights; // 1 where the target counts in the loss, else 0
  std::int64_t target_count = 0; // how many weights are 1
  std::int64_t token_count = 0;  // inputs that are not padding
  // Where a row holds several documents, else empty: which document a token is
  // of (0, 1, ... in each row; padding is another) and its place in it.
  std::vector<std::int32_t> segments;
  std::vector<std::int32_t> positions;
};

Batch make_batch(
    const Dataset& data, const Rows& rows, std::int32_t pad_id = 0);

} // namespace tessera
