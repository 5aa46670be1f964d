#include "plan/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

namespace tessera {

namespace {

using nlohmann::json;

constexpr const char* format = "tessera tuning table";
constexpr int version = 2;

// No block is larger, and no sum of two overflows.
constexpr int largest_block = 1 << 20;

int log2_below(std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  return value < 1 ? 0 : static_cast<int>(std::bit_width(bits)) - 1;
}

std::string pass_name(Pass pass) {
  return pass == Pass::forward ? "forward"
      : pass == Pass::backward ? "backward"
                               : "dbias";
}

std::string dtype_name(Dtype dtype) {
  return dtype == Dtype::float32 ? "float32"
      : dtype == Dtype::float16  ? "float16"
                                 : "bfloat16";
}

std::string window_class(const Problem& p) {
  if (p.left == unbounded || p.right == unbounded) {
    return p.left == unbounded ? "no left side" : "no right side";
  }
  return fmt::format("{}", log2_below(std::int64_t{p.left} + p.right + 1));
}

std::string mask_class(const Problem& p) {
  const auto& f = p.features;
  std::vector<std::string> parts;
  const auto add = [&](bool has, std::string part) {
    if (has) {
      parts.push_back(std::move(part));
    }
  };
  add(p.causal, "causal");
  add(p.left != unbounded || p.right != unbounded, "window " + window_class(p));
  add(p.chunk > 0, fmt::format("chunk {}", log2_below(p.chunk)));
  add(p.block_rows > 0, "blocks");
  add(f.prefix, "prefix");
  add(f.segments, "segments");
  add(f.mask, "mask");
  add(f.bias, "bias");
  add(f.alibi, "alibi");
  add(f.softcap, "softcap");
  add(f.sinks, "sinks");
  add(f.dropout, "dropout");
  return parts.empty() ? "dense" : fmt::format("{}", fmt::join(parts, "+"));
}

json to_json(const TableKey& key, const TableEntry& entry) {
  return {
      {"processor", key.processor},
      {"isa", key.isa},
      {"threads", key.threads},
      {"l2_bytes", key.l2_bytes},
      {"pass", key.pass},
      {"dtype", key.dtype},
      {"D", key.D},
      {"Dv", key.Dv},
      {"group", key.group},
      {"heads_log2", key.heads_log2},
      {"Nq_log2", key.Nq_log2},
      {"Nk_log2", key.Nk_log2},
      {"mask", key.mask},
      {"rows", entry.rows},
      {"columns", entry.columns},
      {"mlx_faster", entry.mlx_faster}};
}

// nlohmann's own conversions turn 1e30 into some int, and true into 1.
template <class Integer>
Integer whole(const json& object, const char* name, std::int64_t highest) {
  const auto& value = object.at(name);
  const bool fits = value.is_number_integer() &&
      (!value.is_number_unsigned() ||
       value.get<std::uint64_t>() <= static_cast<std::uint64_t>(highest)) &&
      value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() <= highest;
  if (!fits) {
    throw std::out_of_range(fmt::format(
        "expected {} from 0 to {}; got {}", name, highest, value.dump()));
  }
  return static_cast<Integer>(value.get<std::int64_t>());
}

TableKey key_from(const json& object) {
  constexpr int any = std::numeric_limits<int>::max();
  TableKey key;
  key.processor = object.at("processor").get<std::string>();
  key.isa = object.at("isa").get<std::string>();
  key.threads = whole<int>(object, "threads", any);
  key.l2_bytes = whole<std::size_t>(object, "l2_bytes", std::int64_t{1} << 40);
  key.pass = object.at("pass").get<std::string>();
  key.dtype = object.at("dtype").get<std::string>();
  key.D = whole<int>(object, "D", any);
  key.Dv = whole<int>(object, "Dv", any);
  key.group = whole<int>(object, "group", any);
  key.heads_log2 = whole<int>(object, "heads_log2", 64);
  key.Nq_log2 = whole<int>(object, "Nq_log2", 64);
  key.Nk_log2 = whole<int>(object, "Nk_log2", 64);
  key.mask = object.at("mask").get<std::string>();
  return key;
}

TableEntry entry_from(const json& object) {
  TableEntry entry;
  entry.rows = whole<int>(object, "rows", largest_block);
  entry.columns = whole<int>(object, "columns", largest_block);
  if (entry.rows == 0 || entry.columns == 0) {
    throw std::out_of_range("expected blocks of at least 1 x 1; got 0");
  }
  entry.mlx_faster = object.at("mlx_faster").get<bool>();
  return entry;
}

// Refuses what nests deeper than a table does, before it is held: comparing and
// freeing a value recurse.
bool shallow(int depth, json::parse_event_t, json&) {
  if (depth > 8) {
    throw std::out_of_range("expected at most 8 nested values; got more");
  }
  return true;
}

Table table_from(const json& root) {
  Table table;
  for (const auto& object : root.at("entries")) {
    table[key_from(object)] = entry_from(object);
  }
  return table;
}

} // namespace

Machine machine_of(const Device& device) {
  return {
      device.processor,
      std::string(name(device.isa)),
      device.threads,
      device.l2_bytes};
}

TableKey key_of(const Problem& problem, const Machine& machine) {
  TableKey key;
  key.processor = machine.processor;
  key.isa = machine.isa;
  key.threads = machine.threads;
  key.l2_bytes = machine.l2_bytes;
  key.pass = pass_name(problem.pass);
  key.dtype = dtype_name(problem.dtype);
  key.D = problem.D;
  key.Dv = problem.Dv;
  key.group = problem.Hkv > 0 ? problem.group() : 0;
  key.heads_log2 = log2_below(std::int64_t{problem.B} * problem.Hq);
  key.Nq_log2 = log2_below(problem.Nq);
  key.Nk_log2 = log2_below(problem.Nk);
  key.mask = mask_class(problem);
  return key;
}

TableKey key_of(const Problem& problem, const Device& device) {
  return key_of(problem, machine_of(device));
}

std::optional<TableEntry> lookup(
    const Table& table, const Problem& problem, const Machine& machine) {
  const auto found = table.find(key_of(problem, machine));
  return found == table.end() ? std::nullopt : std::optional(found->second);
}

std::optional<TableEntry> lookup(
    const Table& table, const Problem& problem, const Device& device) {
  return lookup(table, problem, machine_of(device));
}

std::string why_foreign(
    const Table& table, const std::vector<Machine>& machines) {
  const auto machine = [](const TableKey& key) {
    return Machine{key.processor, key.isa, key.threads, key.l2_bytes};
  };
  const auto text = [](const Machine& m) {
    return m.threads == 0 ? fmt::format("{} ({})", m.processor, m.isa)
                          : fmt::format(
                                "{} ({}, {} threads, {} KiB of cache)",
                                m.processor,
                                m.isa,
                                m.threads,
                                m.l2_bytes >> 10);
  };
  const bool known = std::ranges::any_of(table, [&](const auto& entry) {
    return std::ranges::find(machines, machine(entry.first)) != machines.end();
  });
  return known || table.empty()
      ? ""
      : fmt::format(
            "expected entries measured on {}; got those of {}",
            text(machines.front()),
            text(machine(table.begin()->first)));
}

std::string to_text(const Table& table) {
  auto entries = json::array();
  for (const auto& [key, entry] : table) {
    entries.push_back(to_json(key, entry));
  }
  const json root = {
      {"format", format}, {"version", version}, {"entries", entries}};
  // A processor's name is whatever its maker wrote.
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::variant<Table, std::string> parse_table(std::string_view text) {
  try {
    if (text.empty()) {
      return fmt::format("expected a {}; got an empty file", format);
    }
    const auto root = json::parse(text, shallow);
    if (!root.is_object() || root.value("format", json()) != format) {
      return fmt::format("expected a {}; got another file", format);
    }
    if (root.at("version") != version) {
      return fmt::format(
          "expected version {}; got {}", version, root.at("version").dump());
    }
    if (!root.at("entries").is_array()) {
      return std::string("expected a list of entries; got something else");
    }
    return table_from(root);
  } catch (const json::parse_error&) {
    return fmt::format("expected a {}; got a text that is no JSON", format);
  } catch (const json::exception&) {
    return std::string(
        "expected entries with every field of its type; got a damaged one");
  } catch (const std::out_of_range& error) {
    return std::string(error.what());
  }
}

} // namespace tessera
