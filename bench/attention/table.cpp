#include "table.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "check/case.h"

namespace tessera::bench {

namespace {

// Asked for: shares of the baseline's rate, or how many times its time.
struct Targets {
  double fp32_dense = 0.95; // of sgemm, forward and backward
  double fp32_causal = 0.90;
  double bf16_forward_short = 0.76; // of the dot product's peak; D 64, N 2048
  double bf16_forward = 0.80;       // D 64 from N 4096
  double bf16_forward_wide = 0.85;  // D 128
  double bf16_backward = 0.78;
  double bf16_causal_forward = 0.75;
  double bf16_causal_backward = 0.70;
  double fp16_of_fp32 = 0.9;
  double window = 6;      // times faster than causal
  double segments = 10;   // the same
  double features = 0.74; // time without over time with: 1.35 times
  double decode = 0.8;    // bytes of K and V over a plain read of as many
  double shapes = 0.8;    // useful work's rate over D 128, N 1024
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
        for (const int N : {2048, 4096, 8192}) {
          bfloat16(N, D, causal);
        }
        float16(D, causal);
      }
    }
    sparse(targets.window, [](AttentionCase& c) {
      c.causal = true;
      c.window = Window{511, 0};
    });
    sparse(targets.segments, [](AttentionCase& c) {
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
           causal ? targets.fp32_causal : targets.fp32_dense},
          {"backward / sgemm",
           1,
           2,
           causal ? targets.fp32_causal : targets.fp32_dense}};
      return group;
    });
  }

  static double bfloat16_forward(int N, int D, bool causal) {
    return causal  ? targets.bf16_causal_forward
        : D > 64   ? targets.bf16_forward_wide
        : N > 2048 ? targets.bf16_forward
                   : targets.bf16_forward_short;
  }

  // Beside the float32 peak too: where that is the higher one, bfloat16 is
  // better converted.
  void bfloat16(int N, int D, bool causal) {
    const auto c = case_of(N, D, [=](auto& x) {
      x.causal = causal;
      x.dtype = mx::bfloat16;
    });
    add(describe(c), [=, this] {
      Group group{"", ours(c), {}};
      const int threads = setting_.device.threads;
      const Isa isa = setting_.device.isa;
      const Isa dots = std::min(isa, Isa::avx512_bf16);
      group.contenders.push_back(
          peak("dot products' peak", dots, Dtype::bfloat16, threads));
      group.contenders.push_back(
          peak("bfloat16 peak", isa, Dtype::bfloat16, threads));
      const double forward = bfloat16_forward(N, D, causal);
      const double backward =
          causal ? targets.bf16_causal_backward : targets.bf16_backward;
      group.ratios = {
          {"forward / dot products' peak", 0, 2, forward},
          {"backward / dot products' peak", 1, 2, backward},
          {"forward / bfloat16 peak", 0, 3},
          {"backward / bfloat16 peak", 1, 3}};
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

  void sparse(double times, const Change& change) {
    const auto causal = case_of(8192, 64, [](auto& x) { x.causal = true; });
    beside(case_of(8192, 64, change), causal, times, true);
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
      x.Hkv = 8;
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
