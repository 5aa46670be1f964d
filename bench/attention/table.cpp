#include "table.h"

#include <fmt/format.h>

#include <functional>
#include <memory>

#include "bench/case.h"

namespace tessera::bench {

namespace {

// Asked for, as shares of the baseline's rate. Seen with a throwaway prototype,
// on 2 cores with AVX-512: fp32 forward 0.93 to 1.02 of sgemm dense, 0.86 to
// 0.99 causal; backward 0.95 to 0.99 and 0.91 to 0.98; bf16 0.73 to 0.86 of the
// dot product's peak forward dense, 0.66 to 0.82 for the rest.
struct Targets {
  double fp32_forward = 0.93;
  double fp32_forward_causal = 0.86;
  double fp32_backward = 0.95;
  double fp32_backward_causal = 0.91;
  double bf16_dense = 0.73;
  double bf16_rest = 0.66;
  double bf16_of_fp32_peak = 1.0;
  double fp16_of_fp32 = 0.9;
  double sparse = 0.7;   // useful work's rate: window, segments over causal
  double features = 0.8; // time without over time with
  double decode = 0.8;   // bytes of K and V over a plain read of as many
  double shapes = 0.85;  // useful work's rate over D 128, N 1024
};
constexpr Targets targets;

using Change = std::function<void(AttentionCase&)>;

AttentionCase case_of(int N, int D, const Change& change = {}) {
  AttentionCase c;
  c.Nq = c.Nk = N;
  c.D = c.Dv = D;
  if (change) {
    change(c);
  }
  return c;
}

void append(std::vector<Contender>& to, const std::vector<Contender>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

class Table {
 public:
  explicit Table(const Setting& setting) : setting_(setting) {}

  std::vector<TableRow> rows() {
    for (const int N : {2048, 4096, 8192}) {
      for (const int D : {64, 128}) {
        for (const bool causal : {false, true}) {
          against_sgemm(N, D, causal);
        }
      }
    }
    for (const int D : {64, 128}) {
      for (const bool causal : {false, true}) {
        bfloat16(D, causal);
        float16(D, causal);
      }
    }
    sparse([](AttentionCase& c) {
      c.causal = true;
      c.window = Window{511, 0};
    });
    sparse([](AttentionCase& c) {
      c.causal = true;
      c.segments.assign(16, 512);
    });
    feature([](AttentionCase& c) { c.bias = "1xHxNxN"; });
    feature([](AttentionCase& c) { c.alibi = true; });
    feature([](AttentionCase& c) { c.softcap = 30.0f; });
    feature([](AttentionCase& c) { c.mask = "1x1xNxN"; });
    decode(mx::float32);
    decode(mx::bfloat16);
    odd_shape(case_of(1024, 256));
    odd_shape(case_of(1024, 80));
    odd_shape(case_of(1024, 128, [](AttentionCase& c) { c.Dv = 64; }));
    odd_shape(case_of(1000, 128));
    return std::move(rows_);
  }

 private:
  void add(const std::string& name, std::function<Group()> make) {
    rows_.push_back({name, [=] {
                       auto group = make();
                       group.name = name;
                       return group;
                     }});
  }

  std::vector<Contender> ours(const AttentionCase& c) const {
    return tessera_cpu(c, setting_);
  }

  void against_sgemm(int N, int D, bool causal) {
    const auto c = case_of(N, D, [=](auto& x) { x.causal = causal; });
    add(describe(c), [=, this] {
      Group group{"", ours(c), {}};
      group.contenders.push_back(openblas_sgemm(2048));
      group.ratios = {
          {"forward / sgemm",
           0,
           2,
           causal ? targets.fp32_forward_causal : targets.fp32_forward},
          {"backward / sgemm",
           1,
           2,
           causal ? targets.fp32_backward_causal : targets.fp32_backward}};
      return group;
    });
  }

  void bfloat16(int D, bool causal) {
    const auto c = case_of(4096, D, [=](auto& x) {
      x.causal = causal;
      x.dtype = mx::bfloat16;
    });
    add(describe(c), [=, this] {
      Group group{"", ours(c), {}};
      group.contenders.push_back(
          peak(Dtype::bfloat16, setting_.device.threads));
      group.contenders.push_back(peak(Dtype::float32, setting_.device.threads));
      const double target = causal ? targets.bf16_rest : targets.bf16_dense;
      group.ratios = {
          {"forward / bf16 peak", 0, 2, target},
          {"backward / bf16 peak", 1, 2, targets.bf16_rest},
          {"forward / fp32 peak", 0, 3, targets.bf16_of_fp32_peak},
          {"backward / fp32 peak", 1, 3, targets.bf16_of_fp32_peak}};
      return group;
    });
  }

  // One case beside another: pass by pass.
  void beside(
      const AttentionCase& c,
      const AttentionCase& other,
      double target,
      bool of_times) {
    add(fmt::format("{}  beside  {}", describe(c), describe(other)), [=, this] {
      Group group{"", ours(c), {}};
      const auto first = group.contenders.size();
      append(group.contenders, ours(other));
      for (std::size_t i = first; i < group.contenders.size(); ++i) {
        group.contenders[i].name += " (beside)";
      }
      group.ratios = {
          {"forward", 0, first, target, of_times},
          {"backward", 1, first + 1, target, of_times}};
      return group;
    });
  }

  void float16(int D, bool causal) {
    const auto c = case_of(2048, D, [=](auto& x) {
      x.causal = causal;
      x.dtype = mx::float16;
    });
    auto other = c;
    other.dtype = mx::float32;
    beside(c, other, targets.fp16_of_fp32, true);
  }

  void sparse(const Change& change) {
    const auto causal = case_of(8192, 64, [](auto& x) { x.causal = true; });
    beside(case_of(8192, 64, change), causal, targets.sparse, false);
  }

  void feature(const Change& change) {
    beside(
        case_of(2048, 64, change), case_of(2048, 64), targets.features, true);
  }

  void odd_shape(const AttentionCase& c) {
    beside(c, case_of(1024, 128), targets.shapes, false);
  }

  // A single query reads all of K and V, and computes next to nothing.
  void decode(mx::Dtype dtype) {
    const auto c = case_of(32768, 128, [=](auto& x) {
      x.Nq = 1;
      x.Hq = 32;
      x.dtype = dtype;
    });
    add(describe(c), [=, this] {
      Group group{"", {ours(c).front()}, {}};
      group.contenders[0].work = key_bytes(c);
      group.contenders[0].unit = "GB/s";
      group.contenders.push_back(streaming_read(c, setting_.device.threads));
      group.ratios = {{"bytes of K and V / plain read", 0, 1, targets.decode}};
      return group;
    });
  }

  Setting setting_;
  std::vector<TableRow> rows_;
};

} // namespace

std::vector<TableRow> speed_table(const Setting& setting) {
  // The rows keep what they need of the table.
  const auto table = std::make_shared<Table>(setting);
  auto rows = table->rows();
  for (auto& row : rows) {
    row.make = [table, make = row.make] {
      return make();
    };
  }
  return rows;
}

} // namespace tessera::bench
