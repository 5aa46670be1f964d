#pragma once

#include <mlx/mlx.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tessera/case.h"
#include "tessera/info.h"

namespace tessera {

struct BenchmarkOptions {
  AttentionGrid grid;
  bool forward = true;
  bool backward = true;
  // Differentiates the bias, the slopes and the sinks too, where there are any;
  // else Q, K and V alone.
  bool all_gradients = false;
  int rounds = 7;
  // A Python with PyTorch, to be timed beside; none where empty.
  std::string torch = "";
};

// Of the rounds, in seconds.
struct Spread {
  double median = 0;
  double lowest = 0;
  double lower_quartile = 0;
  double upper_quartile = 0;
  double highest = 0;
};

// One implementation on one case. A backward pass is timed alone: the outputs
// are computed before its clock starts.
struct ContenderResult {
  std::string name;    // "mlx", "flash" or "torch"
  std::string skipped; // why nothing was timed; else empty
  // Ours alone: it threw, or its values are wrong; `skipped` says which.
  bool failed = false;
  std::string path; // the code that ran: "tessera/cpu", "mlx", ...
  std::map<std::string, Spread> passes; // "forward", "backward"
  // The medians of the passes, together.
  double time = 0;
  // The most that was held beyond the inputs, outputs and gradients included,
  // in bytes; absent where it is not known.
  std::optional<std::int64_t> memory;
  // The largest difference from plain float64 formulas, in units of what the
  // same formulas may be off in the case's dtype: at most 1 is right. Absent
  // where nothing was compared.
  std::optional<double> error;
};

struct CaseResult {
  AttentionCase attention;
  std::vector<ContenderResult> contenders; // mlx, flash, and torch if asked for
  // Floating-point operations of a pass that the result needs: 2 a product and
  // sum, over the pairs of query and key that see each other, two products of
  // matrices forward and five backward.
  std::map<std::string, double> flops;
  // mlx over flash in time, and (mlx - flash) / mlx in memory; absent where one
  // of them is.
  std::optional<double> speedup;
  std::optional<double> memory_reduction;
};

struct BenchmarkResult {
  std::string tessera_version;
  std::string date; // UTC, ISO 8601
  SystemInfo system;
  int rounds = 0;
  double matmul_gflops = 0; // MLX's, 2048 x 2048 float32
  // The fastest that the CPU's arithmetic units go on all threads, by dtype;
  // empty where MLX computes elsewhere.
  std::map<std::string, double> peak_gflops;
  std::int64_t process_peak = 0; // bytes
  bool interrupted = false;
  std::vector<CaseResult> results;
};

// Is told how a benchmark goes.
class BenchmarkObserver {
 public:
  virtual ~BenchmarkObserver() = default;
  virtual void measuring(const AttentionCase&, int /*index*/, int /*count*/) {}
  virtual void measured(const BenchmarkResult&, const CaseResult&) {}
  // Asked between rounds; true ends the benchmark with the cases done so far.
  virtual bool should_stop() {
    return false;
  }
};

// Times `attention` beside MLX's own op, given the equivalent mask, on every
// case of the grid: the contenders in turn in each round, so that all see the
// same machine. Before that their results are compared with plain formulas; a
// wrong one of ours is marked as failed. Throws InputError where a case does
// not fit, or asks for MLX's op instead of ours.
BenchmarkResult benchmark_attention(
    const BenchmarkOptions& options, BenchmarkObserver* observer = nullptr);

// Throws std::logic_error where a row has failed, once its files are written.
void require_right(const BenchmarkResult& result);

// As files: an object with a list "results", whose members have
// the keys seq_len, head_dim, batch_size, mlx {time, memory}, flash {time,
// memory}, speedup, memory_reduction and more; a table of one line a pass; and
// a page that needs no network.
std::string benchmark_json(const BenchmarkResult& result);
std::string benchmark_csv(const BenchmarkResult& result);
std::string benchmark_html(const BenchmarkResult& result);

} // namespace tessera
