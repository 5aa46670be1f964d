#include "module.h"

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
}
