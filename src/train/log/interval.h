#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "tessera/finetune.h"
#include "tessera/profile.h"

namespace tessera::train {

// Sums since the last line of metrics.jsonl. Part of a checkpoint, so that a
// resumed run writes the lines that an unbroken one does.
struct Interval {
  double loss = 0; // summed over target tokens
  std::int64_t targets = 0;
  std::int64_t tokens = 0;
  double seconds = 0; // of steps, evaluation and saving not counted
  int steps = 0;
  PassProfile forward; // of attention
  PassProfile backward;

  // Adds what attention took from `before` to `after`.
  void add(const AttentionProfile& before, const AttentionProfile& after);
};

nlohmann::json to_json(const Interval& interval);
Interval interval_of(const nlohmann::json& json); // null: empty

// Of the mean step; none where Tessera's attention did not run. `peak_flops` of
// the machine, none where it is not known.
std::optional<AttentionReport> attention_report(
    const Interval& interval, std::optional<double> peak_flops);

// The fields of metrics.jsonl that --profile-attention adds; null where there
// is nothing to say.
nlohmann::json attention_metrics(const std::optional<AttentionReport>& report);

} // namespace tessera::train
