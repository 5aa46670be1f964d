#pragma once

#include <optional>

#include "plan/table.h"

namespace tessera {

// Makes plans, and the choice of `automatic`, follow `table` from now on, in
// the whole process; an empty one is what a program begins with. Set once,
// before the calls: a call that is being planned sees either table, and one
// planned before keeps its plan.
void use_table(Table table);

Table table_in_use();

// Makes them follow a table for as long as it lives, and the one before again.
class TableScope {
 public:
  explicit TableScope(Table table);
  ~TableScope();
  TableScope(const TableScope&) = delete;
  TableScope& operator=(const TableScope&) = delete;

 private:
  Table before_;
};

// What the table in use holds for a problem.
std::optional<TableEntry> tuned(const Problem& problem, const Machine& machine);

} // namespace tessera
