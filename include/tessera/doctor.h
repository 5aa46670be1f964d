#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tessera/case.h"
#include "tessera/info.h"

namespace tessera {

// A small call that was compared with plain float64 formulas.
struct ExaminedCase {
  std::string backend; // "cpu" or "metal"
  AttentionCase attention;
  // Of each result, "O" and the gradients, the largest difference in units of
  // the tolerance: at most 1 is right.
  std::map<std::string, double> errors;
  std::string failed; // what is wrong, or was thrown; empty where it is right
  // How it was computed: a pass or kernel, and its plan.
  std::vector<std::pair<std::string, std::string>> plans;
};

struct Diagnosis {
  std::string tessera_version;
  std::string date; // UTC, ISO 8601
  SystemInfo system;
  double matmul_gflops = 0; // MLX's, 2048 x 2048 float32
  bool interrupted = false;
  std::vector<ExaminedCase> cases;

  // Whether all that was examined is right, and something was.
  bool healthy() const;
};

struct DoctorOptions {
  bool quick =
      false; // each mask, dtype and head dimension, but not all of each
};

// Is told of each case, and how many there are; false ends it with those so
// far.
using DoctorObserver =
    std::function<bool(const ExaminedCase&, int done, int count)>;

// Examines attention on this machine: masks, features, dtypes and head
// dimensions, forward and backward, on the CPU and where there is one on the
// Apple GPU, whose kernels are run whatever was found of them before.
Diagnosis diagnose(
    const DoctorOptions& options = {}, const DoctorObserver& observer = {});

// To be sent: an object, and a page that needs no network.
std::string diagnosis_json(const Diagnosis& diagnosis);
std::string diagnosis_html(const Diagnosis& diagnosis);

} // namespace tessera
