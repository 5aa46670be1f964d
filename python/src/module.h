#pragma once

#include <nanobind/nanobind.h>

// Each adds a part of the package's functions to the module.
namespace tessera::python {

namespace nb = nanobind;

void add_attention(nanobind::module_& module);
void add_drop_in(nanobind::module_& module);
void add_cases(nanobind::module_& module);
void add_tools(nanobind::module_& module);
void add_plan(nanobind::module_& module);

} // namespace tessera::python
