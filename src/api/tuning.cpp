#include "api/tuning.h"

#include <mutex>
#include <shared_mutex>
#include <utility>

namespace tessera {

namespace {

std::shared_mutex mutex;
Table table_in_use;

} // namespace

void use_table(Table table) {
  std::unique_lock lock(mutex);
  table_in_use = std::move(table);
}

std::optional<TableEntry> tuned(const Problem& problem, const Device& device) {
  std::shared_lock lock(mutex);
  // Most programs have no table, and a key is made of strings.
  return table_in_use.empty() ? std::nullopt
                              : lookup(table_in_use, problem, device);
}

} // namespace tessera
