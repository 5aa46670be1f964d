#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// Runs a kernel of the Metal Shading Language on the CPU, from its exact text,
// thread by thread, and fails where a GPU would go wrong in silence.
namespace tessera::metal {

struct Buffer {
  void* data;
  std::size_t bytes;
  bool writable;
  // A writable buffer is an output: what it holds before is not to be read,
  // unless it says so here.
  bool filled = false;
};

struct Dispatch {
  // The whole translation unit, as MLX hands it to the compiler. Includes of
  // "mlx/backend/metal/kernels/..." are found in MLX's wheel.
  std::string source;
  // A kernel's name, its host_name, or a template with arguments, "f<float,
  // 8>".
  std::string function;
  // In threads; the last threadgroups of an axis may be smaller.
  std::array<std::uint32_t, 3> grid, threadgroup;
  // In the order of their [[buffer(n)]].
  std::vector<Buffer> buffers;
  // By the number in [[function_constant(n)]]; what C++ takes as a value.
  std::map<unsigned, std::string> function_constants = {};
};

// Sums over a dispatch. Barriers, matrix operations, shuffles and reductions
// count once a simdgroup (threadgroup barriers: a threadgroup), all else once a
// thread.
struct Counts {
  std::uint64_t matrix_operations = 0; // 8 x 8 x 8 multiply and accumulate
  std::uint64_t exponentials = 0;      // exp, exp2, exp10
  std::uint64_t transcendentals = 0;   // the other elementary functions
  std::uint64_t float_adds = 0;        // + and - of the text, any float type
  std::uint64_t float_multiplies = 0;
  std::uint64_t float_fused = 0; // fma, and a * b + c in one expression
  std::uint64_t float_divisions = 0;
  std::uint64_t threadgroup_barriers = 0;
  std::uint64_t simdgroup_barriers = 0;
  std::uint64_t shuffles = 0;
  std::uint64_t reductions = 0; // simd_sum, simd_max, votes, ...
  std::uint64_t device_loads = 0;
  std::uint64_t device_stores = 0;
  std::uint64_t device_bytes_loaded = 0; // constant address space included
  std::uint64_t device_bytes_stored = 0;
  std::uint64_t threadgroup_loads = 0;
  std::uint64_t threadgroup_stores = 0;
  std::uint64_t threadgroup_bytes_loaded = 0;
  std::uint64_t threadgroup_bytes_stored = 0;
  std::uint64_t threadgroup_memory = 0; // bytes that a threadgroup declares
  std::uint64_t unwritten_bytes = 0;    // of outputs, written by no thread

  std::uint64_t multiply_adds() const {
    return float_adds + float_multiplies + float_fused;
  }
  bool operator==(const Counts&) const = default;
};

struct Options {
  // The dispatch runs this often, each time in another order of threadgroups,
  // simdgroups and threads; the results must have the same bits.
  int schedules = 1;
  // Runs it once more with other contents of uninitialised variables; the
  // results must have the same bits. This compiles the text a second time.
  bool registers = false;
  // What an M1 to M4 has.
  std::size_t threadgroup_memory_limit = 32768;
};

// What was caught, where and by which thread; or the compiler's errors.
struct ExecutionError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

Counts execute(const Dispatch& dispatch, const Options& options = {});

// What a thread keeps to itself.
struct Private {
  int registers = 0; // 32-bit
  int memory = 0;    // bytes, of what the registers did not hold
};

// By clang's optimised code for a GPU of AMD's, whose lanes have 32-bit
// registers as Apple's have, where it may use `registers` of them. A matrix is
// two elements a lane, its product one instruction; values that all lanes of a
// dispatch share have registers of their own and do not count.
Private private_of(const Dispatch& dispatch, int registers);

// Compiles alone: throws what clang says of address spaces and types.
void check_address_spaces(
    const std::string& source, const std::string& function);

} // namespace tessera::metal
