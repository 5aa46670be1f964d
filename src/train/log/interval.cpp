#include "train/log/interval.h"

#include "train/memory/machine.h"

namespace tessera::train {

namespace {

nlohmann::json to_json(const PassProfile& pass) {
  return {
      {"calls", pass.calls},
      {"seconds", pass.seconds},
      {"flops", pass.flops},
      {"bytes", pass.bytes}};
}

PassProfile pass_of(const nlohmann::json& json) {
  return {
      json.at("calls"), json.at("seconds"), json.at("flops"), json.at("bytes")};
}

double rate(const PassProfile& pass) {
  return pass.seconds > 0 ? pass.flops / pass.seconds : 0.0;
}

} // namespace

void Interval::add(
    const AttentionProfile& before, const AttentionProfile& after) {
  forward = forward + (after.forward - before.forward);
  backward = backward + (after.backward - before.backward);
}

nlohmann::json to_json(const Interval& interval) {
  return {
      {"loss", interval.loss},
      {"targets", interval.targets},
      {"tokens", interval.tokens},
      {"seconds", interval.seconds},
      {"steps", interval.steps},
      {"forward", to_json(interval.forward)},
      {"backward", to_json(interval.backward)}};
}

Interval interval_of(const nlohmann::json& json) {
  if (json.is_null()) {
    return {};
  }
  return {
      json.at("loss"),
      json.at("targets"),
      json.at("tokens"),
      json.at("seconds"),
      json.at("steps"),
      pass_of(json.at("forward")),
      pass_of(json.at("backward"))};
}

std::optional<AttentionReport> attention_report(
    const Interval& interval, std::optional<double> peak_flops) {
  const PassProfile both = interval.forward + interval.backward;
  if (both.calls == 0 || interval.steps == 0) {
    return std::nullopt;
  }
  AttentionReport report;
  report.forward_seconds = interval.forward.seconds / interval.steps;
  report.backward_seconds = interval.backward.seconds / interval.steps;
  report.share = both.seconds / interval.seconds;
  report.forward_flops = rate(interval.forward);
  report.backward_flops = rate(interval.backward);
  report.flops = rate(both);
  if (peak_flops) {
    report.of_peak = report.flops / *peak_flops;
  }
  report.bytes = both.bytes / interval.steps;
  return report;
}

nlohmann::json attention_metrics(const std::optional<AttentionReport>& report) {
  nlohmann::json line = {
      {"memory_usage_mb", static_cast<double>(peak_memory()) / 1e6},
      {"gpu_utilization_pct", nullptr}};
  const auto set =
      [&](const char* name, double AttentionReport::*field, double unit) {
        line[name] = report ? nlohmann::json(unit * (*report).*field) : nullptr;
      };
  line["attention_time_ms"] = report
      ? nlohmann::json(
            1e3 * (report->forward_seconds + report->backward_seconds))
      : nullptr;
  set("attention_forward_ms", &AttentionReport::forward_seconds, 1e3);
  set("attention_backward_ms", &AttentionReport::backward_seconds, 1e3);
  set("attention_share_pct", &AttentionReport::share, 100);
  set("attention_gflops", &AttentionReport::flops, 1e-9);
  set("attention_forward_gflops", &AttentionReport::forward_flops, 1e-9);
  set("attention_backward_gflops", &AttentionReport::backward_flops, 1e-9);
  set("attention_moved_mb", &AttentionReport::bytes, 1e-6);
  line["alu_utilization_pct"] = report && report->of_peak
      ? nlohmann::json(100 * *report->of_peak)
      : nullptr;
  return line;
}

} // namespace tessera::train
