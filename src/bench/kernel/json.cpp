#include <nlohmann/json.hpp>
#include <variant>

#include "tessera/kernel.h"

namespace tessera {

namespace {

// Fields in the order of their meaning.
using json = nlohmann::ordered_json;

json to_json(const KernelBuffer& buffer) {
  json object = {
      {"name", buffer.name}, {"dtype", buffer.dtype}, {"shape", buffer.shape}};
  if (!buffer.values.empty()) {
    const bool real = buffer.dtype.find("float") != std::string::npos;
    auto& values = object["values"] = json::array();
    for (const double value : buffer.values) {
      values.push_back(
          real ? json(value) : json(static_cast<std::int64_t>(value)));
    }
  }
  if (!buffer.key.empty()) {
    object["key"] = buffer.key;
  }
  return object;
}

json to_json(const std::vector<KernelBuffer>& buffers) {
  auto list = json::array();
  for (const auto& buffer : buffers) {
    list.push_back(to_json(buffer));
  }
  return list;
}

json to_json(const KernelLaunch& launch) {
  json plan = json::object();
  for (const auto& [name, value] : launch.plan) {
    std::visit([&](const auto& v) { plan[name] = v; }, value);
  }
  return {
      {"name", launch.name},
      {"source", launch.source},
      {"grid", launch.grid},
      {"threadgroup", launch.threadgroup},
      {"inputs", to_json(launch.inputs)},
      {"outputs", to_json(launch.outputs)},
      {"plan", plan}};
}

json to_json(const KernelJoin& join) {
  return {{"key", join.key}, {"parts", join.parts}, {"axis", join.axis}};
}

} // namespace

std::string metal_kernels_json(const Kernels& kernels) {
  if (kernels.launches.size() == 1) {
    return to_json(kernels.launches.front()).dump(2) + "\n";
  }
  json object = {{"launches", json::array()}, {"joins", json::array()}};
  for (const auto& launch : kernels.launches) {
    object["launches"].push_back(to_json(launch));
  }
  for (const auto& join : kernels.joins) {
    object["joins"].push_back(to_json(join));
  }
  return object.dump(2) + "\n";
}

} // namespace tessera
