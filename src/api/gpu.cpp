#include "api/gpu.h"

#include <mlx/backend/cuda/cuda.h>
#include <mlx/backend/metal/metal.h>
#include <mlx/device.h>

#include <variant>

namespace tessera {

namespace mx = mlx::core;

std::string gpu_fact(const char* name) {
  if (!mx::metal::is_available() && !mx::cu::is_available()) {
    return "";
  }
  const auto& facts = mx::device_info(mx::Device::gpu);
  const auto at = facts.find(name);
  const auto* text =
      at == facts.end() ? nullptr : std::get_if<std::string>(&at->second);
  return text == nullptr ? "" : *text;
}

} // namespace tessera
