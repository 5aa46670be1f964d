#include "tessera/dataset.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "tessera/chat.h"
#include "tessera/error.h"
#include "text/chat/messages.h"
#include "text/json.h"
#include "text/long_documents.h"

namespace tessera {

namespace {

using nlohmann::json;

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

struct Place {
  std::string file;
  std::int64_t line;

  std::string name() const {
    return fmt::format("{}:{}", file, line);
  }
};

std::string string_at(const json& object, const char* key, const Place& place) {
  const auto& value = object.at(key);
  if (!value.is_string()) {
    reject(
        "dataset",
        "expected a string at \"{}\"; got {} ({})",
        key,
        value.type_name(),
        place.name());
  }
  return value.get<std::string>();
}

void append_eos(TokenIds& tokens, std::optional<std::int32_t> eos) {
  if (eos && (tokens.empty() || tokens.back() != *eos)) {
    tokens.push_back(*eos);
  }
}

void check_shape(const json& object, bool mask_prompt, const Place& place) {
  if (!object.is_object()) {
    reject(
        "dataset",
        "expected an object; got {} ({})",
        object.type_name(),
        place.name());
  }
  bool has_text = object.contains("text");
  bool has_prompt = object.contains("prompt");
  bool has_completion = object.contains("completion");
  bool has_messages = object.contains("messages");
  if (has_prompt != has_completion ||
      has_text + has_prompt + has_messages != 1) {
    std::string got;
    for (auto* key : {"text", "prompt", "completion", "messages"}) {
      if (object.contains(key)) {
        got += fmt::format("{}\"{}\"", got.empty() ? "" : ", ", key);
      }
    }
    reject(
        "dataset",
        "expected \"text\", or \"prompt\" and \"completion\", or "
        "\"messages\"; got {} ({})",
        got.empty() ? "none of them" : got,
        place.name());
  }
  if (mask_prompt && has_text) {
    reject(
        "dataset",
        "expected \"prompt\" and \"completion\", or \"messages\", with "
        "--mask-prompt; got \"text\" ({})",
        place.name());
  }
}

std::int32_t common_prefix(const TokenIds& a, const TokenIds& b) {
  auto [end, unused] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::int32_t>(end - a.begin());
}

// Reads documents of one file.
class Reader {
 public:
  Reader(const Tokenizer& tokenizer, const DatasetOptions& options)
      : tokenizer_(tokenizer), options_(options) {}

  Document operator()(const json& object, const Place& place) {
    check_shape(object, options_.mask_prompt, place);
    Document document;
    document.line = place.line;
    if (object.contains("messages")) {
      read_chat(object, place, document);
      return document;
    }
    if (object.contains("text")) {
      document.tokens = tokenizer_.encode(string_at(object, "text", place));
    } else {
      read_pair(object, place, document);
    }
    append_eos(document.tokens, options_.eos_id);
    return document;
  }

 private:
  void read_pair(const json& object, const Place& place, Document& document) {
    auto prompt = string_at(object, "prompt", place);
    auto completion = string_at(object, "completion", place);
    document.tokens = tokenizer_.encode(prompt + completion);
    auto length = common_prefix(tokenizer_.encode(prompt), document.tokens);
    if (options_.mask_prompt && length > 0) {
      document.context = {{0, length}};
    }
  }

  void read_chat(const json& object, const Place& place, Document& document) {
    auto messages = text::read_messages(object, place.name());
    if (!chat_) {
      chat_ = load_chat_template(options_.tokenizer_folder);
    }
    try {
      auto [tokens, context] = encode_chat(*chat_, tokenizer_, messages);
      document.tokens = std::move(tokens);
      if (options_.mask_prompt) {
        document.context = std::move(context);
      }
    } catch (const InputError& error) {
      throw InputError(fmt::format("{} ({})", error.what(), place.name()));
    }
  }

  const Tokenizer& tokenizer_;
  const DatasetOptions& options_;
  std::optional<ChatTemplate> chat_;
};

std::vector<Document> read_jsonl(
    const std::filesystem::path& file,
    const Tokenizer& tokenizer,
    const DatasetOptions& options) {
  auto in = text::open_file("dataset", file);
  Reader read(tokenizer, options);
  std::vector<Document> documents;
  Place place{file.string(), 0};
  for (std::string line; std::getline(in, line);) {
    ++place.line;
    std::string_view text = line;
    if (place.line == 1 && text.starts_with(byte_order_mark)) {
      text.remove_prefix(byte_order_mark.size());
    }
    if (text.find_first_not_of(" \t\r") == text.npos) {
      continue;
    }
    auto object = text::parse_json("dataset", text, place.file, place.line);
    documents.push_back(read(object, place));
  }
  if (in.bad()) {
    reject("dataset", "expected a readable file; got {}", place.name());
  }
  return documents;
}

std::vector<Document> read_txt(
    const std::filesystem::path& file,
    const Tokenizer& tokenizer,
    const DatasetOptions& options) {
  if (options.mask_prompt) {
    reject(
        "dataset",
        "expected \"prompt\" and \"completion\", or \"messages\", with "
        "--mask-prompt; got plain text ({})",
        file.string());
  }
  auto content = text::read_file("dataset", file);
  std::string_view text = content;
  if (text.starts_with(byte_order_mark)) {
    text.remove_prefix(byte_order_mark.size());
  }
  if (text.empty()) {
    return {};
  }
  auto tokens = tokenizer.encode(text);
  append_eos(tokens, options.eos_id);
  auto size = tokens.size();
  auto row = options.max_seq_length > 0
      ? static_cast<std::size_t>(options.max_seq_length)
      : std::max<std::size_t>(size, 2);
  std::vector<Document> rows;
  for (std::size_t from = 0; from + 1 < size; from += row - 1) {
    auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(from);
    auto count = static_cast<std::ptrdiff_t>(std::min(row, size - from));
    auto number = static_cast<std::int64_t>(rows.size() + 1);
    rows.push_back({TokenIds(begin, begin + count), {}, number});
  }
  return rows;
}

} // namespace

Dataset read_dataset(
    const std::filesystem::path& file,
    const Tokenizer& tokenizer,
    const DatasetOptions& options) {
  if (options.max_seq_length < 0 || options.max_seq_length == 1) {
    reject(
        "dataset",
        "expected --max-seq-length of 2 or more, or 0 for any; got {}",
        options.max_seq_length);
  }
  auto kind = file.extension();
  if (kind != ".jsonl" && kind != ".txt") {
    reject("dataset", "expected a .jsonl or .txt file; got {}", file.string());
  }
  Dataset data{file, {}};
  data.documents = kind == ".txt" ? read_txt(file, tokenizer, options)
                                  : read_jsonl(file, tokenizer, options);
  if (data.documents.empty()) {
    reject(
        "dataset",
        "expected at least one document; got none ({})",
        file.string());
  }
  return text::fit_documents(
      std::move(data), options.max_seq_length, options.long_documents);
}

std::filesystem::path find_split(
    const std::filesystem::path& folder,
    const std::string& split,
    bool required) {
  auto is_there = [](const std::filesystem::path& file) {
    std::error_code ignored;
    return std::filesystem::exists(file, ignored);
  };
  std::vector<std::filesystem::path> found;
  for (auto* kind : {".jsonl", ".txt"}) {
    if (auto file = folder / (split + kind); is_there(file)) {
      found.push_back(file);
    }
  }
  if (found.size() == 2 || (found.empty() && required)) {
    reject(
        "dataset",
        "expected {0}.jsonl or {0}.txt; got {1} ({2})",
        split,
        found.empty() ? "neither" : "both",
        folder.string());
  }
  return found.empty() ? std::filesystem::path() : found.front();
}

// Fisher-Yates (Knuth, The Art of Computer Programming 2, section 3.4.2) on
// generators whose output the standard fixes; std::shuffle's it does not.
std::vector<std::size_t> epoch_order(
    std::size_t count, std::uint64_t seed, std::uint64_t epoch) {
  auto low = [](std::uint64_t x) {
    return static_cast<std::uint32_t>(x);
  };
  auto high = [](std::uint64_t x) {
    return static_cast<std::uint32_t>(x >> 32);
  };
  std::seed_seq mixed{low(seed), high(seed), low(epoch), high(epoch)};
  std::mt19937_64 generator(mixed);
  auto below = [&](std::uint64_t bound) {
    // Draws from the last, incomplete multiple of `bound` would be biased.
    auto excess = (std::mt19937_64::max() % bound + 1) % bound;
    for (;;) {
      auto draw = generator();
      if (draw <= std::mt19937_64::max() - excess) {
        return draw % bound;
      }
    }
  };
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (auto i = count; i > 1; --i) {
    std::swap(order[i - 1], order[below(i)]);
  }
  return order;
}

} // namespace tessera
