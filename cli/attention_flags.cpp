#include "cli/attention_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <variant>

#include "api/metal/backend.h"
#include "api/node/cpu_call.h"
#include "api/tuning.h"
#include "bench/tune/file.h"
#include "cli/flags.h"
#include "tessera/error.h"

namespace tessera::cli {
namespace {

[[noreturn]] void wrong(
    const char* flag, const char* expected, const std::string& got) {
  throw CLI::ValidationError(
      flag, fmt::format("expected {}; got {}", expected, got));
}

std::optional<int> whole(std::string_view text) {
  int value = 0;
  const auto [stop, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  const bool all = stop == text.data() + text.size();
  return error == std::errc() && all && value >= 0 ? std::optional(value)
                                                   : std::nullopt;
}

// "A:B", or "A" for A:A.
std::pair<int, int> pair_of(
    const char* flag, const char* expected, const std::string& text) {
  const auto colon = text.find(':');
  const auto a = whole(std::string_view(text).substr(0, colon));
  const auto b = colon == std::string::npos
      ? a
      : whole(std::string_view(text).substr(colon + 1));
  if (!a || !b) {
    wrong(flag, expected, text);
  }
  return {*a, *b};
}

// "L:R"; a side that is empty or "none" has no bound.
Window window_of(const std::string& text) {
  const auto colon = text.find(':');
  const char* expected = "L:R, keys before and after; either may be none";
  if (colon == std::string::npos) {
    wrong("--window", expected, text);
  }
  const auto side = [&](const std::string& part) -> std::optional<int> {
    if (part.empty() || part == "none") {
      return std::nullopt;
    }
    const auto bound = whole(part);
    if (!bound) {
      wrong("--window", expected, text);
    }
    return bound;
  };
  return {side(text.substr(0, colon)), side(text.substr(colon + 1))};
}

void add_shape_flags(CLI::App& command, AttentionFlags& flags) {
  auto& c = flags.attention;
  add_dtype_flag(command, flags.dtype);
  command.add_option("--head-dim", c.D, "Of Q and K")->capture_default_str();
  command.add_option("--value-dim", flags.value_dim, "Of V; default: as of K");
  command
      .add_option_function<std::string>(
          "--heads",
          [&c](const std::string& text) {
            std::tie(c.Hq, c.Hkv) =
                pair_of("--heads", "Hq:Hkv, as 32:8, or H", text);
          },
          "Query and key heads")
      ->option_text(fmt::format("Hq:Hkv [{}:{}]", c.Hq, c.Hkv));
  command
      .add_option_function<std::string>(
          "--lengths",
          [&c](const std::string& text) {
            std::tie(c.Nq, c.Nk) =
                pair_of("--lengths", "Nq:Nk, as 1:4096, or N", text);
          },
          "Queries and keys")
      ->option_text(fmt::format("Nq:Nk [{}:{}]", c.Nq, c.Nk));
  command.add_option("--batch", c.B)->capture_default_str();
}

void add_mask_flags(CLI::App& command, AttentionCase& c) {
  command.add_flag("--causal", c.causal, "Keys up to the query's own");
  command
      .add_option_function<std::string>(
          "--window",
          [&c](const std::string& text) { c.window = window_of(text); },
          "Keys before and after the query's own; either side may be empty")
      ->option_text("L:R");
  command.add_option(
      "--prefix", c.prefix, "With --causal: keys that every query sees");
  command.add_option(
      "--chunk", c.chunk, "With --causal: only keys of the query's chunk");
  command
      .add_option(
          "--segments", c.segments, "Lengths of packed documents, n1,n2,...")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option("--mask", c.mask, "A random boolean mask of this shape")
      ->option_text("1x1xNxN");
}

void add_block_flag(CLI::App& command, AttentionCase& c) {
  command
      .add_option_function<std::string>(
          "--blocks",
          [&c](const std::string& text) {
            const auto [rows, columns] =
                pair_of("--blocks", "ROWS:COLUMNS, as 64:128", text);
            c.blocks = BlockSides{rows, columns};
          },
          "A list of blocks of so many queries and keys, every third off")
      ->option_text("ROWS:COLUMNS");
}

void add_score_flags(CLI::App& command, AttentionCase& c) {
  command.add_option("--softcap", c.softcap, "Scores become C tanh(s / C)");
  command.add_flag("--alibi", c.alibi, "Slopes 2^(-8 h / H)");
  command.add_flag("--sinks", c.sinks, "One more logit a head");
  command.add_option("--bias", c.bias, "A random bias of this shape")
      ->option_text("1xHxNxN");
  command.add_option("--dropout", c.dropout, "Probability, on the softmax")
      ->capture_default_str();
}

} // namespace

CLI::Validator a_name() {
  return CLI::Validator(
      [](const std::string& text) {
        return text.empty() ? std::string("expected a name; got an empty one")
                            : std::string();
      },
      "NAME");
}

AttentionCase AttentionFlags::value() const {
  AttentionCase c = attention;
  c.dtype = dtype.value_or(
      mx::default_device() == mx::Device::cpu ? mx::float32 : mx::bfloat16);
  c.Dv = value_dim.value_or(c.D);
  return c;
}

void add_case_flags(CLI::App& command, AttentionFlags& flags) {
  command.option_defaults()->group("Attention");
  add_shape_flags(command, flags);
  add_mask_flags(command, flags.attention);
  add_block_flag(command, flags.attention);
  add_score_flags(command, flags.attention);
  add_attention_flags(
      command, flags.attention.implementation, flags.attention.block_size);
  command.option_defaults()->group("OPTIONS");
}

void add_grid_flags(CLI::App& command, GridFlags& flags) {
  const auto list = [&](const char* name,
                        std::vector<int>& values,
                        const char* single,
                        const char* text) {
    command.add_option(name, values, text)
        ->delimiter(',')
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->check(CLI::Range(1, 1 << 24))
        ->excludes(command.get_option(single))
        ->group("Grid");
  };
  list("--seq-lengths", flags.seq_lengths, "--lengths", "Queries and keys");
  list("--head-dims", flags.head_dims, "--head-dim", "Of Q and K");
  list("--batch-sizes", flags.batch_sizes, "--batch", "Batch sizes");
}

AttentionGrid grid_of(const AttentionFlags& attention, const GridFlags& grid) {
  return {
      attention.value(),
      grid.seq_lengths,
      grid.head_dims,
      grid.batch_sizes,
      attention.value_dim};
}

bool MeasureFlags::has(const std::string& pass) const {
  return std::find(passes.begin(), passes.end(), pass) != passes.end();
}

void add_measure_flags(CLI::App& command, MeasureFlags& flags) {
  command.add_option("--passes", flags.passes, "What is timed")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(CLI::IsMember({"forward", "backward"}))
      ->option_text("forward,backward");
  command.add_option("--rounds", flags.rounds, "Times that each is measured")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
}

std::optional<std::filesystem::path> TableFlag::file() const {
  if (path == "none") {
    return std::nullopt;
  }
  return path.empty() ? default_table_path() : std::filesystem::path(path);
}

void add_table_flag(CLI::App& command, TableFlag& flag) {
  command
      .add_option(
          "--table",
          flag.path,
          "Block sizes that `tessera tune` saved, or none; default "
          "~/.cache/tessera/tune.json")
      ->check(a_name())
      ->option_text("FILE");
}

namespace {

// The processor, and the GPU where there is one.
std::vector<Machine> machines() {
  std::vector<Machine> all = {machine_of(cpu_device())};
  if (mx::metal::is_available()) {
    const auto gpu = metal_backend(mx::default_stream(mx::Device::gpu));
    all.push_back(machine_of(*gpu));
  }
  return all;
}

} // namespace

void use_saved_table(const TableFlag& flag) {
  const auto file = flag.file();
  if (!file) {
    return;
  }
  if (!flag.path.empty() && !std::filesystem::exists(*file)) {
    reject(
        "table",
        "expected a file that `tessera tune` saved for --table, or none; got "
        "{}, which is not there",
        file->string());
  }
  auto loaded = load_table(*file);
  const auto* reason = std::get_if<std::string>(&loaded);
  const auto why = reason != nullptr
      ? *reason
      : why_foreign(std::get<Table>(loaded), machines());
  if (!why.empty()) {
    fmt::print(
        stderr,
        "tessera: note: {} is not used: {}; `tessera tune` makes one\n",
        file->string(),
        why);
    return;
  }
  use_table(std::move(std::get<Table>(loaded)));
}

} // namespace tessera::cli
