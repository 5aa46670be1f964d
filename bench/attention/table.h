#pragma once

#include <functional>
#include <string>
#include <vector>

#include "measure.h"

namespace tessera::bench {

// A row's arrays exist only once it is made.
struct TableRow {
  std::string name;
  std::function<Group()> make;
};

// What the speed of the kernels is judged by.
std::vector<TableRow> speed_table(const Setting& setting);

} // namespace tessera::bench
