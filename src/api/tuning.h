#pragma once

#include <optional>

#include "plan/table.h"

namespace tessera {

// Makes plans, and the choice of `automatic`, follow `table` from now on, in
// the whole process; an empty one is what a program begins with. Set once,
// before the calls: a call that is being planned sees either table, and one
// planned before keeps its plan.
void use_table(Table table);

// What the table in use holds for a problem.
std::optional<TableEntry> tuned(const Problem& problem, const Device& device);

} // namespace tessera
