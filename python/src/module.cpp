#include "module.h"

#include <fmt/format.h>
#include <mlx/mlx.h>

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

// nanobind shares classes between modules of the same ABI alone.
void require_mlx_array() {
  if (!nanobind::type<mlx::core::array>().is_valid()) {
    const auto text = fmt::format(
        "[tessera] expected an mlx.core whose nanobind has the ABI of "
        "{}.{}.{}, "
        "which this package was built with; got one of another: rebuild "
        "Tessera with the nanobind that MLX was built with",
        NB_VERSION_MAJOR,
        NB_VERSION_MINOR,
        NB_VERSION_PATCH);
    throw nanobind::import_error(text.c_str());
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
  require_mlx_array();
  tessera::python::add_attention(module);
  tessera::python::add_drop_in(module);
  tessera::python::add_cases(module);
  tessera::python::add_tools(module);
  tessera::python::add_plan(module);
  tessera::set_warning_handler(warn);
}
