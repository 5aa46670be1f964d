#include "api/tuning.h"

#include <mutex>
#include <shared_mutex>
#include <utility>

namespace tessera {

namespace {

std::shared_mutex mutex;
Table current;

} // namespace

void use_table(Table table) {
  std::unique_lock lock(mutex);
  current = std::move(table);
}

Table table_in_use() {
  std::shared_lock lock(mutex);
  return current;
}

TableScope::TableScope(Table table) : before_(table_in_use()) {
  use_table(std::move(table));
}

TableScope::~TableScope() {
  use_table(std::move(before_));
}

std::optional<TableEntry> tuned(
    const Problem& problem, const Machine& machine) {
  std::shared_lock lock(mutex);
  // Most programs have no table, and a key is made of strings.
  return current.empty() ? std::nullopt : lookup(current, problem, machine);
}

} // namespace tessera
