#include "api/metal/backend.h"

#include <fmt/format.h>

#include <mutex>
#include <shared_mutex>
#include <string>
#include <utility>

#include "api/gpu.h"
#include "api/metal/proof.h"
#include "api/tuning.h"

namespace tessera {

namespace {

std::shared_mutex mutex;
std::optional<MetalBackend> on_cpu;

metal::Tiles saved_tiles(Problem problem, const MetalBackend& backend) {
  const auto blocks = [&](Pass pass) {
    problem.pass = pass;
    const auto entry = tuned(problem, machine_of(backend));
    return entry ? Blocks{entry->rows, entry->columns} : Blocks{};
  };
  return {blocks(Pass::forward), blocks(Pass::backward)};
}

} // namespace

metal::Family this_family() {
  // "applegpu_g13s": generation 13 is M1's.
  const std::string_view prefix = "applegpu_g";
  const auto name = gpu_fact("architecture");
  if (name.size() < prefix.size() + 2 || !name.starts_with(prefix)) {
    return metal::Family::m1;
  }
  const int generation =
      name[prefix.size()] * 10 + name[prefix.size() + 1] - '0' * 11;
  return generation <= 13 ? metal::Family::m1
      : generation == 14  ? metal::Family::m2
      : generation == 15  ? metal::Family::m3
                          : metal::Family::m4;
}

std::optional<MetalBackend> metal_backend(mx::Stream stream) {
  if (stream.device == mx::Device::cpu) {
    std::shared_lock lock(mutex);
    return on_cpu;
  }
  if (!mx::metal::is_available()) {
    return std::nullopt;
  }
  static const metal::Family family = this_family();
  static const auto processor = gpu_fact("device_name");
  static const auto proofs = std::make_shared<Proofs>();
  return MetalBackend{
      family,
      std::make_shared<MlxLauncher>(stream),
      metal::launch_seconds,
      proofs,
      processor};
}

MetalOnCpu::MetalOnCpu(MetalBackend backend) {
  std::unique_lock lock(mutex);
  before_ = std::exchange(on_cpu, std::move(backend));
}

MetalOnCpu::~MetalOnCpu() {
  std::unique_lock lock(mutex);
  on_cpu = std::move(before_);
}

Machine machine_of(const MetalBackend& backend) {
  return {
      backend.processor,
      fmt::format("metal {}", metal::name(backend.family)),
      0,
      0};
}

metal::Call metal_call(
    const Problem& problem,
    const AttentionSettings& settings,
    const MetalBackend& backend) {
  metal::Call call;
  call.problem = problem;
  call.numbers = settings.numbers;
  call.family = backend.family;
  call.block_size = settings.block_size;
  call.seconds = backend.seconds;
  call.tiles = settings.route == Route::trial ? settings.tiles
                                              : saved_tiles(problem, backend);
  return call;
}

} // namespace tessera
