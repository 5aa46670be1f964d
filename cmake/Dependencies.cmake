# Everything that is not ours. Headers come in as SYSTEM (imported targets), so
# -Werror speaks of our code only.

find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# Asio without Boost is headers alone, and ships no package file.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
add_library(asio INTERFACE)
target_include_directories(asio SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
target_compile_definitions(asio INTERFACE ASIO_STANDALONE)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)

# MLX comes from its PyPI wheel, in the project's own virtual environment; in
# pip's, where that builds the Python package.
if(SKBUILD)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter)
  set(TESSERA_PYTHON ${Python_EXECUTABLE})
endif()
set(TESSERA_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python"
    CACHE FILEPATH "A Python that has MLX installed")
set(TESSERA_MLX 0.32.4 CACHE STRING "The version of MLX; another is not tested")
execute_process(
  COMMAND ${TESSERA_PYTHON} -c "import mlx.core as mx; print(mx.__version__)"
  OUTPUT_VARIABLE mlx_version
  OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE mlx_result)
if(NOT mlx_result EQUAL 0)
  message(FATAL_ERROR
    "[cmake] expected MLX in ${TESSERA_PYTHON}; run `make setup` first")
endif()
if(NOT mlx_version STREQUAL TESSERA_MLX)
  message(FATAL_ERROR
    "[cmake] expected MLX ${TESSERA_MLX}; got ${mlx_version} in ${TESSERA_PYTHON}. "
    "Install that one, or build against the other, which is not tested: "
    "-DTESSERA_MLX=${mlx_version}")
endif()
execute_process(
  COMMAND ${TESSERA_PYTHON} -m mlx --cmake-dir
  OUTPUT_VARIABLE MLX_ROOT
  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
find_package(MLX REQUIRED CONFIG)

add_library(tessera_mlx INTERFACE)
target_link_libraries(tessera_mlx INTERFACE mlx)

# The Linux wheel carries a reference BLAS (5 GF/s sgemm here). A program that
# is itself linked to OpenBLAS has OpenBLAS's symbols first in the search order,
# so MLX's own cblas calls land there (190 GF/s on the same 2 cores). The
# program makes no such call itself, hence --no-as-needed. A module that is
# loaded into a program would come too late; the Python package loads OpenBLAS
# by itself.
if(NOT APPLE)
  pkg_check_modules(OPENBLAS REQUIRED openblas)
  string(JOIN "," openblas -Wl,--push-state,--no-as-needed
         ${OPENBLAS_LINK_LIBRARIES} --pop-state)
  target_link_libraries(
    tessera_mlx
    INTERFACE "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:${openblas}>")
endif()

# Each takes a second or two to read; a target that links one of them can read
# it once, not once a file. The sanitizers' preset does. The others do not: ccache
# shares nothing that was compiled with such a header between two build folders,
# and a file that lacks an include would not be found out.
target_precompile_headers(tessera_mlx INTERFACE <mlx/mlx.h>)
target_precompile_headers(
  nlohmann_json::nlohmann_json INTERFACE <nlohmann/json.hpp>)
target_precompile_headers(CLI11::CLI11 INTERFACE <CLI/CLI.hpp>)
