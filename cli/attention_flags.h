#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tessera/bench.h"

namespace tessera::cli {

// Refuses an empty name, which would be taken for no flag at all.
CLI::Validator a_name();

// The flags that describe a call of attention, the same in every command.
struct AttentionFlags {
  AttentionCase attention;
  std::optional<mx::Dtype> dtype;
  std::optional<int> value_dim;

  // The case, once the command line is read.
  AttentionCase value() const;
};

// Adds all of them.
void add_case_flags(CLI::App& command, AttentionFlags& flags);

// --seq-lengths, --head-dims and --batch-sizes, in place of the flags of one
// length, head dimension and batch size.
struct GridFlags {
  std::vector<int> seq_lengths;
  std::vector<int> head_dims;
  std::vector<int> batch_sizes;
};

void add_grid_flags(CLI::App& command, GridFlags& flags);

// The cases that both describe, once the command line is read.
AttentionGrid grid_of(const AttentionFlags& attention, const GridFlags& grid);

// --passes forward,backward and --rounds.
struct MeasureFlags {
  std::vector<std::string> passes = {"forward", "backward"};
  int rounds = 7;

  bool has(const std::string& pass) const;
};

void add_measure_flags(CLI::App& command, MeasureFlags& flags);

// --table FILE|none: what `tessera tune` saved.
struct TableFlag {
  std::string path;

  std::optional<std::filesystem::path> file() const; // absent: none
};

void add_table_flag(CLI::App& command, TableFlag& flag);

// Makes attention follow the saved table. One that cannot be used, or is of
// another machine, is named on standard error, once, and left alone. InputError
// where the flag names a file that is not there.
void use_saved_table(const TableFlag& flag);

} // namespace tessera::cli
