#include "tessera/info.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/output/facts.h"
#include "cli/command.h"

namespace tessera::cli {
namespace {

nlohmann::json to_json(const SystemInfo& info, double rate) {
  auto object = bench::to_json(info);
  object["tessera"] = TESSERA_VERSION;
  object["matmul_gflops"] = rate;
  return object;
}

void print(const SystemInfo& info, double rate) {
  const auto blas = info.blas_kernels.empty()
      ? info.blas
      : fmt::format("{} ({} kernels)", info.blas, info.blas_kernels);
  fmt::print(
      "tessera     {}\n"
      "mlx         {}, on the {} by default, built with {}\n"
      "processor   {}, {} threads, {:.1f} GiB\n"
      "gpu         {}\n"
      "attention   {} kernels on the CPU\n"
      "blas        {}\n"
      "matmul      {:.0f} GF/s (float32, 2048 x 2048, through MLX)\n",
      TESSERA_VERSION,
      info.mlx_version,
      info.device,
      fmt::join(info.backends, ", "),
      info.processor,
      info.threads,
      info.memory_gib,
      info.gpu.empty() ? "none that MLX uses" : info.gpu,
      info.instruction_set,
      blas,
      rate);
}

} // namespace

void add_info(CLI::App& program) {
  auto* command = program.add_subcommand(
      "info", "Versions, devices and the matmul rate of this machine");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "One JSON object");
  command->callback([json] {
    const auto info = system_info();
    const double rate = matmul_rate();
    if (*json) {
      std::cout << to_json(info, rate).dump(2) << '\n';
    } else {
      print(info, rate);
    }
  });
}

} // namespace tessera::cli
