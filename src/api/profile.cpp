#include "api/profile.h"

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "api/node/cpu_call.h"
#include "api/problem.h"
#include "backend/cpu/peak.h"

namespace tessera {

namespace {

std::mutex mutex;
AttentionProfile so_far;

// The keys of one batch entry, by id and then by position.
class KeysById {
 public:
  KeysById(const cpu::View& ids, int batch, int count) {
    keys_.reserve(static_cast<std::size_t>(count));
    for (int j = 0; j < count; ++j) {
      keys_.emplace_back(ids.at<std::int32_t>(batch, j), j);
    }
    std::sort(keys_.begin(), keys_.end());
  }

  std::int64_t count(std::int32_t id, Span span) const {
    return rank(id, span.hi) - rank(id, span.lo);
  }

 private:
  std::int64_t rank(std::int32_t id, int j) const {
    return std::lower_bound(keys_.begin(), keys_.end(), std::pair(id, j)) -
        keys_.begin();
  }

  std::vector<std::pair<std::int32_t, int>> keys_; // [Nk]
};

// Pairs of a query and a key of batch entry `b` that see each other, in one
// head, by position and segment.
std::int64_t pairs_of(const cpu::Task& task, int b) {
  const Problem& p = task.problem;
  const int prefix =
      p.features.prefix ? task[Operand::prefix].at<std::int32_t>(b) : 0;
  const Mask mask = p.mask(prefix);
  std::int64_t pairs = 0;
  if (!p.features.segments) {
    for (int i = 0; i < p.Nq; ++i) {
      pairs += mask.span(i).size();
    }
    return pairs;
  }
  const KeysById keys(task[Operand::segments_k], b, p.Nk);
  for (int i = 0; i < p.Nq; ++i) {
    const auto id = task[Operand::segments_q].at<std::int32_t>(b, i);
    pairs += keys.count(id, mask.span(i));
  }
  return pairs;
}

double features_of(const Problem& p) {
  switch (p.pass) {
    case Pass::forward: // S = Q K^T, O = P V
      return 1.0 * p.D + p.Dv;
    case Pass::backward: // S again, dP = dO V^T; dQ = dS K, dK = dS^T Q,
                         // dV = P^T dO
      return 3.0 * p.D + 2.0 * p.Dv;
    case Pass::dbias: // sums dS, which the backward pass has
      break;
  }
  return 0;
}

} // namespace

PassProfile operator+(const PassProfile& a, const PassProfile& b) {
  return {
      a.calls + b.calls,
      a.seconds + b.seconds,
      a.flops + b.flops,
      a.bytes + b.bytes};
}

PassProfile operator-(const PassProfile& a, const PassProfile& b) {
  return {
      a.calls - b.calls,
      a.seconds - b.seconds,
      a.flops - b.flops,
      a.bytes - b.bytes};
}

AttentionProfile attention_profile() {
  std::lock_guard lock(mutex);
  return so_far;
}

std::optional<double> attention_peak_flops(mx::Dtype dtype) {
  if (mx::default_device() != mx::Device::cpu) {
    return std::nullopt;
  }
  const Device& device = cpu_device();
  return cpu::peak_flops(
      device.isa, dtype_of(dtype).value_or(Dtype::float32), device.threads);
}

double useful_flops(const cpu::Task& task) {
  const Problem& p = task.problem;
  std::int64_t pairs = 0;
  if (p.features.prefix || p.features.segments) {
    for (int b = 0; b < p.B; ++b) {
      pairs += pairs_of(task, b);
    }
  } else if (p.B > 0) {
    pairs = p.B * pairs_of(task, 0);
  }
  return 2 * features_of(p) * static_cast<double>(pairs) * p.Hq;
}

void record_attention(Pass pass, const PassProfile& call) {
  std::lock_guard lock(mutex);
  PassProfile& of = pass == Pass::forward ? so_far.forward : so_far.backward;
  of = of + call;
}

} // namespace tessera
