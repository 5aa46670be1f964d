#include "module.h"

#include "tessera/warning.h"

namespace {

// As Python's own warnings, from whatever thread. One that a filter makes an
// error cannot be thrown through MLX, and is printed.
void warn(const std::string& text) {
  nanobind::gil_scoped_acquire lock;
  if (PyErr_WarnEx(PyExc_RuntimeWarning, text.c_str(), 1) != 0) {
    PyErr_WriteUnraisable(nullptr);
  }
}

} // namespace

// Bindings and no more: what a call does is in the C++ library. The classes of
// MLX's own module, mlx.core.array among them, are the ones that this module
// knows, since both are of the nanobind domain "mlx"; so mlx.core must be
// imported first.
NB_MODULE(_core, module) {
  module.attr("__doc__") = "Tessera's C++ library.";
  nanobind::module_::import_("mlx.core");
  tessera::python::add_attention(module);
  tessera::python::add_drop_in(module);
  tessera::python::add_cases(module);
  tessera::python::add_tools(module);
  tessera::python::add_plan(module);
  tessera::set_warning_handler(warn);
}
