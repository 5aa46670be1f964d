#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "plan/device.h"
#include "plan/problem.h"

namespace tessera {

// Problems that are tuned as one, on one kind of device. Lengths, batch and
// heads go in by the power of two below them: block sizes that suit 2100 rows
// suit 3000.
struct TableKey {
  std::string processor;
  std::string isa;
  int threads = 0;
  std::size_t l2_bytes = 0;

  std::string pass;
  std::string dtype;
  int D = 0;
  int Dv = 0;
  int group = 0;      // query heads of a key head
  int heads_log2 = 0; // of B * Hq
  int Nq_log2 = 0;
  int Nk_log2 = 0;
  // "dense", or what restricts and changes the scores, joined by '+':
  // "causal+window 9", the window by the power of two of its keys.
  std::string mask;

  auto operator<=>(const TableKey&) const = default;
};

// What a key says of where it was measured: a processor, or a GPU.
struct Machine {
  std::string processor;
  std::string isa; // "avx512", "metal m1"
  int threads = 0; // of a processor; 0: a GPU
  std::size_t l2_bytes = 0;

  bool operator==(const Machine&) const = default;
};

Machine machine_of(const Device& device);

TableKey key_of(const Problem& problem, const Machine& machine);
TableKey key_of(const Problem& problem, const Device& device);

// What was measured best.
struct TableEntry {
  int rows = 0; // of a block
  int columns = 0;
  // Whether MLX's own op took less time for the whole pass. Where it cannot
  // compute the problem, or differs on some input, false.
  bool mlx_faster = false;

  bool operator==(const TableEntry&) const = default;
};

using Table = std::map<TableKey, TableEntry>;

std::optional<TableEntry> lookup(
    const Table& table, const Problem& problem, const Machine& machine);
std::optional<TableEntry> lookup(
    const Table& table, const Problem& problem, const Device& device);

// Why no problem finds an entry on these, the processor first, "expected ...;
// got ...": all were measured on others. Empty where some were not, or there
// are none.
std::string why_foreign(
    const Table& table, const std::vector<Machine>& machines);

// A table as versioned JSON, and back. A text that is damaged, of another
// program or of another version yields the reason, "expected ...; got ...".
std::string to_text(const Table& table);
std::variant<Table, std::string> parse_table(std::string_view text);

} // namespace tessera
