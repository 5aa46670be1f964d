#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "count.h"
#include "fit.h"
#include "mfa.h"
#include "plan/metal/planner.h"

// Counts the Metal kernels in the executor and prints what the cost model says
// of them: predicted, not measured.
namespace {

using namespace tessera;
using namespace tessera::bench;
using metal::Family;
using metal::Pass;

constexpr Pass passes[] = {Pass::forward, Pass::dq, Pass::dkv};
constexpr Dtype dtypes[] = {Dtype::float16, Dtype::float32};

std::string_view name(Dtype dtype) {
  return dtype == Dtype::float32 ? "float32" : "float16";
}

metal::Plan preferred(Pass pass, Dtype dtype, int D, Family family) {
  Problem p;
  p.dtype = dtype;
  p.B = p.Hq = p.Hkv = 1;
  p.Nq = p.Nk = 4096;
  p.D = p.Dv = D;
  return std::get<metal::Plan>(metal::make_plan(p, pass, family));
}

std::string columns_of(const metal::Cost& c) {
  return fmt::format(
      "{:.9g}, {:.9g}, {:.9g}, {:.9g}, {:.9g}, {:.9g}, {:.9g}",
      c.matrix_operations,
      c.exponentials,
      c.floats,
      c.exchanges,
      c.device_bytes,
      c.threadgroup_bytes,
      c.barriers);
}

std::string literal_of(const metal::Plan& p) {
  constexpr const char* stagings[] = {"direct", "whole", "pieces"};
  constexpr const char* homes[] = {"registers", "threadgroup", "device"};
  return fmt::format(
      "{{Pass::{}, Dtype::{}, {}, {}, {}, {}, {}, {}, {}, Staging::{}, {}, {}, "
      "Home::{}}}",
      name(p.pass),
      name(p.dtype),
      p.D,
      p.Dv,
      p.rows,
      p.simdgroups,
      p.columns,
      p.head_block,
      p.value_block,
      stagings[static_cast<int>(p.staging)],
      p.hold_own,
      p.hold_value,
      homes[static_cast<int>(p.sums)]);
}

// src/plan/metal/cost_table.h: the plans preferred for the usual sizes.
void print_table() {
  fmt::print(
      "#pragma once\n\n#include \"plan/metal/cost.h\"\n\n"
      "namespace tessera::metal {{\n\n"
      "// Counted by `bench_metal table`, whose output this file is.\n"
      "// clang-format off\n"
      "constexpr Counted counted[] = {{\n");
  std::vector<metal::Plan> seen;
  for (const Pass pass : passes) {
    for (const Dtype dtype : dtypes) {
      for (const int D : {64, 80, 96, 128, 192, 256}) {
        for (const Family family : metal::families) {
          const auto plan = preferred(pass, dtype, D, family);
          if (std::ranges::find(seen, plan) == seen.end()) {
            seen.push_back(plan);
            fmt::print(
                "  {{{},\n   {{{}}}}},\n",
                literal_of(plan),
                columns_of(count(plan)));
          }
        }
      }
    }
  }
  fmt::print("}};\n// clang-format on\n\n}} // namespace tessera::metal\n");
}

void print_row(
    const char* kernel,
    Family family,
    const metal::Plan& plan,
    const metal::Cost& cost,
    const std::string& shares) {
  fmt::print(
      "{}, {}, {}, {}, {}, {}, {}\n",
      kernel,
      name(family),
      name(plan.pass),
      name(plan.dtype),
      plan.D,
      columns_of(cost),
      shares);
}

void print_mfa(Family family) {
  std::vector<Point> points;
  std::vector<double> shares;
  for (const auto& row : published()) {
    if (row.family == family) {
      shares.push_back(row.share);
      points.push_back(
          {row.plan, count(row.plan), row.share / as_mfa_counts(row.plan)});
    }
  }
  auto machine = metal::machine(family);
  machine.overlap = fit_overlap(points, machine);
  fmt::print("# {}: overlap {:.2f}\n", name(family), machine.overlap);
  const auto left_out = leave_one_out(points, machine);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto& point = points[i];
    print_row(
        "mfa",
        family,
        point.plan,
        point.cost,
        fmt::format(
            "{:.4f}, {:.4f}, {}",
            predict(point.plan, point.cost, machine).share,
            left_out[i],
            shares[i]));
  }
}

// What is fitted, and what is predicted for our own plans.
void print_predictions() {
  fmt::print(
      "# {}: shares of the ALU limit, of useful multiplies and adds. Left out: "
      "fitted without the row.\n"
      "kernel, family, pass, dtype, D, matrix operations, exponentials, "
      "floats, "
      "exchanges, device bytes, threadgroup bytes, barriers, predicted, left "
      "out, published as MFA counts\n",
      metal::not_measured);
  print_mfa(Family::m1);
  print_mfa(Family::m3);
  for (const Family family : metal::families) {
    for (const Dtype dtype : dtypes) {
      for (const Pass pass : passes) {
        for (const int D : {64, 80, 128, 256}) {
          const auto plan = preferred(pass, dtype, D, family);
          const auto cost = count(plan);
          const auto share = predict(plan, cost, metal::machine(family)).share;
          print_row(
              "tessera", family, plan, cost, fmt::format("{:.4f}, ,", share));
        }
      }
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app("Counts of the Metal kernels; predicted, not measured");
  app.require_subcommand(1);
  app.add_subcommand("table", "Print src/plan/metal/cost_table.h")
      ->callback(print_table);
  app.add_subcommand("predictions", "Print what is fitted and predicted")
      ->callback(print_predictions);
  CLI11_PARSE(app, argc, argv);
  return 0;
}
