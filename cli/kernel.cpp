#include "tessera/kernel.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>
#include <memory>

#include "api/metal/backend.h"
#include "bench/kernel/facts.h"
#include "cli/attention_flags.h"
#include "cli/command.h"

namespace tessera::cli {
namespace {

struct Options {
  AttentionFlags attention;
  std::string backend = "metal";
  std::string pass;
  std::string device;
  bool json = false;
};

std::string family_of(const Options& o) {
  if (!o.device.empty()) {
    return o.device;
  }
  return std::string(metal::name(
      mx::metal::is_available() ? this_family() : metal::Family::m1));
}

std::string line_of(const KernelBuffer& buffer) {
  constexpr std::size_t few = 8;
  auto line = fmt::format(
      "{:<24}{} [{}]",
      buffer.name,
      buffer.dtype,
      fmt::join(buffer.shape, ", "));
  if (!buffer.values.empty() && buffer.values.size() <= few) {
    line += fmt::format(" = {}", fmt::join(buffer.values, ", "));
  }
  return line + (buffer.key.empty() ? "" : " as " + buffer.key);
}

void print(const KernelLaunch& launch) {
  fmt::print("{:<16}{}\n", "kernel", launch.name);
  for (const auto& fact : launch.plan) {
    fmt::print("  {:<24}{}\n", fact.first, bench::text_of(fact));
  }
  fmt::print(
      "{:<16}{} threads in groups of {}\n",
      "grid",
      fmt::join(launch.grid, " x "),
      fmt::join(launch.threadgroup, " x "));
  for (const auto& [title, buffers] :
       {std::pair("inputs", &launch.inputs),
        std::pair("outputs", &launch.outputs)}) {
    fmt::print("{}\n", title);
    for (const auto& buffer : *buffers) {
      fmt::print("  {}\n", line_of(buffer));
    }
  }
}

// The text of each kernel once, however often it is launched.
void print(const Kernels& kernels) {
  const std::string* last = nullptr;
  for (const auto& launch : kernels.launches) {
    print(launch);
    if (last == nullptr || *last != launch.source) {
      fmt::print("\n{}\n\n", launch.source);
    }
    last = &launch.source;
  }
  for (const auto& join : kernels.joins) {
    fmt::print(
        "{:<16}{} along axis {}: {}\n",
        "join",
        join.key,
        join.axis,
        fmt::join(join.parts, ", "));
  }
}

void run(const Options& o) {
  auto c = o.attention.value();
  c.dtype = o.attention.dtype.value_or(mx::bfloat16);
  const auto kernels = metal_kernels(c, o.pass, family_of(o));
  if (o.json) {
    std::cout << metal_kernels_json(kernels);
  } else {
    print(kernels);
  }
}

} // namespace

void add_kernel(CLI::App& program) {
  auto* command = program.add_subcommand(
      "kernel", "Print the GPU kernels of a call: text, launch and arrays");
  auto options = std::make_shared<Options>();
  command->add_option("--backend", options->backend, "Of which GPUs")
      ->check(CLI::IsMember({"metal"}))
      ->option_text("{metal}");
  command->add_option("--pass", options->pass, "What it computes")
      ->required()
      ->check(CLI::IsMember(
          {"forward", "delta", "dq", "dkv", "dbias", "dslopes", "dsinks"}))
      ->option_text("{forward,delta,dq,dkv,dbias,dslopes,dsinks}");
  command
      ->add_option(
          "--device",
          options->device,
          "Generation of the GPU; default this machine's, or m1")
      ->check(CLI::IsMember({"m1", "m2", "m3", "m4"}))
      ->option_text("{m1,m2,m3,m4}");
  add_case_flags(*command, options->attention);
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options] { run(*options); });
}

} // namespace tessera::cli
